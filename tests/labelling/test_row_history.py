"""The decisions in force on rows are stacks, however they are kept."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.labelling.row_history import NOTHING, LogEvent, RowHistory

ROWS = 5
STEPS = st.lists(st.tuples(st.sampled_from(["push", "pop"]), st.sets(st.integers(0, ROWS - 1), min_size=1)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_rows_are_stacks(steps: list[tuple[str, set[int]]]) -> None:
    """What is pushed and popped on any rows in any order is on each row as on a list of its own."""
    history, stacks, last = RowHistory.of(ROWS), [list[str]() for _ in range(ROWS)], [NOTHING] * ROWS
    for number, (step, wanted) in enumerate(steps, start=1):
        rows = [row for row in sorted(wanted) if step == "push" or stacks[row]]
        event = LogEvent(number, f"who {number % 2}", float(number), f"why {number % 3}")
        place = history.begin(event)
        if step == "push":
            history.push(place, np.array(rows, np.int64))
            for row in rows:
                stacks[row].append(event.why)
        else:
            taken = history.pop(place, np.array(rows, np.int64))
            assert {row: why for why, of_why in taken for row in of_why.tolist()} == {row: stacks[row].pop() for row in rows}
        for row in rows:
            last[row] = event
    assert [history.reasons(row) for row in range(ROWS)] == [stack[::-1] for stack in stacks]
    assert [history.last_event(row) for row in range(ROWS)] == last
    for why in ("why 0", "why 1", "why 2"):
        assert history.decided_for(why).tolist() == [row for row, stack in enumerate(stacks) if stack[-1:] == [why]]
    for seen in range(len(steps) + 1):
        newer = [(row, event) for row, event in enumerate(last) if event.number > seen]
        assert history.decided_since(seen, np.arange(ROWS)) == newer

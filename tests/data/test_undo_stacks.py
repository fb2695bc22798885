"""Undo and redo of several people do what a list of all states would."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from data.made_decisions import ANTS, BEES, OUT, UNLABELLED, change, opened, states_of
from headstart.data.decided import LabelConflict, State
from headstart.data.label_log import LabelLog


@dataclass
class Plain:
    """What the log should do, in plain Python: for each image, the decisions that are in force, the last one last."""

    stacks: dict[int, list[int]] = field(default_factory=dict)
    given: dict[int, State] = field(default_factory=dict)
    decisions: dict[int, tuple[str, dict[int, State]]] = field(default_factory=dict)  # number -> who, the new states
    in_force: dict[int, dict[int, list[int]]] = field(default_factory=dict)  # decision -> the stacks just after it was made
    undone: dict[int, tuple[str, int, dict[int, list[int]]]] = field(default_factory=dict)  # decision -> who, entry, stacks
    last: int = 0

    def state(self, number: int) -> State:
        stack = self.stacks.get(number)
        return self.decisions[stack[-1]][1][number] if stack else self.given.get(number, UNLABELLED)

    def seen(self, decision: int) -> dict[int, list[int]]:
        return {number: list(self.stacks[number]) for number in self.decisions[decision][1]}

    def decide(self, who: str, new: dict[int, State]) -> None:
        self.last += 1
        self.decisions[self.last] = (who, new)
        for number in new:
            self.stacks.setdefault(number, []).append(self.last)
        self.in_force[self.last] = self.seen(self.last)
        self.undone = {d: u for d, u in self.undone.items() if u[0] != who}

    def undo(self, who: str) -> str:
        mine = [d for d in self.in_force if self.decisions[d][0] == who]
        if not mine:
            return "nothing"
        if self.seen(max(mine)) != self.in_force[max(mine)]:
            return "conflict"
        self.last += 1
        del self.in_force[max(mine)]
        for number in self.decisions[max(mine)][1]:
            self.stacks[number].pop()
        self.undone[max(mine)] = (who, self.last, self.seen(max(mine)))
        return "done"

    def redo(self, who: str) -> str:
        mine = {entry: d for d, (by, entry, _) in self.undone.items() if by == who}
        if not mine:
            return "nothing"
        decision = mine[max(mine)]
        if self.seen(decision) != self.undone[decision][2]:
            return "conflict"
        self.last += 1
        del self.undone[decision]
        for number in self.decisions[decision][1]:
            self.stacks[number].append(decision)
        self.in_force[decision] = self.seen(decision)
        return "done"


def outcome(log: LabelLog, what: str, who: str) -> str:
    try:
        made = log.undo(who) if what == "undo" else log.redo(who)
    except LabelConflict:
        return "conflict"
    return "nothing" if made is None else "done"


PEOPLE = st.sampled_from(["ada", "bob"])
DECIDE = st.tuples(
    st.just("decide"), PEOPLE, st.dictionaries(st.integers(0, 3), st.sampled_from([ANTS, BEES, OUT, UNLABELLED]), min_size=1)
)
STEPS = st.lists(
    DECIDE | st.tuples(st.sampled_from(["undo", "undo", "redo", "restart"]), PEOPLE, st.just({})), min_size=1, max_size=30
)


@settings(max_examples=100)
@given(steps=STEPS)
def test_any_order_of_steps(steps: list[tuple[str, str, dict[int, State]]]) -> None:
    """Whatever two people decide, undo and redo, with restarts between, the log is what a plain model of it is."""
    plain = Plain()
    with TemporaryDirectory() as folder:
        log = opened(Path(folder) / "labels.sqlite")
        try:
            for what, who, new in steps:
                if what == "restart":
                    log.close()
                    log = opened(Path(folder) / "labels.sqlite")
                elif what == "decide":
                    log.decide([change(n, plain.state(n), state) for n, state in new.items()], who=who, why="label")
                    plain.decide(who, new)
                else:
                    assert outcome(log, what, who) == (plain.undo(who) if what == "undo" else plain.redo(who))
                assert states_of(log) == {number: plain.state(number) for number in plain.stacks}
                standing = {int(key.digest, 16): (one.number, one.state) for key, one in log.standing().items()}
                assert standing == {n: (stack[-1], plain.state(n)) for n, stack in plain.stacks.items() if stack}
                assert log.last == plain.last
            assert [made.number for made in log.since(0)] == list(range(1, plain.last + 1))
            log.digest()
        finally:
            log.close()

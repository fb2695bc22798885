"""How fast training goes, and how many of its steps fit before a deadline."""

from dataclasses import dataclass

from headstart.deadline import NEVER, Deadline

ANSWERING = 1 / 3  # time to predict an image, as a share of the time to train on it; used until it has been measured
RECENT = 0.1  # weight of the last step in the mean, so that it follows the load of the machine within some ten steps


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """The time that training may take, and what must fit into it besides."""

    deadline: Deadline = NEVER
    later: int = 0  # images to be predicted between the end of training and the deadline
    again: float = 0.0  # training that follows on the same steps, as a multiple of their time: refitting on train and val
    # If not all steps fit: True makes fewer, with the learning rate falling faster; False makes all until the deadline passes.
    shortens: bool = False


UNLIMITED = TimeLimit()


class Pace:
    """Measures steps and validations while they are made, and says how many more steps fit.

    Without a deadline every step fits, whatever was measured: the clock then changes no result.
    """

    def __init__(self, limit: TimeLimit, *, n_steps: int, batch_size: int, n_val: int) -> None:
        self.limit, self.n_steps, self.batch_size, self.n_val = limit, n_steps, batch_size, n_val
        self._step = self._validation = 0.0  # seconds; the mean of recent steps, and the last validation
        self._n_measured = 0
        self._last = 0.0

    def start(self) -> None:
        """Called when the steps of an epoch, or a validation, begin."""
        self._last = self.limit.deadline.clock()

    def stepped(self) -> None:
        """Called after each step."""
        took = self._lap()
        self._n_measured += 1
        # The first step also starts threads and builds kernels: it counts only until there is a second.
        weight = 1.0 if self._n_measured <= 2 else max(1 / (self._n_measured - 1), RECENT)
        self._step += weight * (took - self._step)

    def validated(self) -> None:
        """Called after each validation."""
        self._validation = self._lap()

    def fitting(self, steps_left: int, steps_made: int) -> int:
        """How many of the steps left fit, with the validations between them and the work that follows."""
        limit, validation = self.limit, self._validation or self.n_val * self._step / self.batch_size * ANSWERING
        answer = validation / self.n_val if self.n_val else self._step / self.batch_size * ANSWERING
        left = limit.deadline.left() - limit.later * answer
        if not limit.shortens:
            return steps_left if left > 0 else 0
        left -= limit.again * steps_made * self._step
        return _fitting(left, steps_left, self.n_steps, (1 + limit.again) * self._step, validation)

    def _lap(self) -> float:
        now = self.limit.deadline.clock()
        took, self._last = now - self._last, now
        return took


def _fitting(left: float, steps_left: int, n_steps: int, step: float, validation: float) -> int:
    """How many steps fit into the seconds left: all, or whole epochs and as much of another as can be validated too."""
    n_epochs = -(-steps_left // n_steps)
    if steps_left * step + n_epochs * validation <= left:
        return steps_left
    fitting, of_epoch = 0, steps_left - (n_epochs - 1) * n_steps
    while left >= of_epoch * step + validation:
        left -= of_epoch * step + validation
        fitting, of_epoch = fitting + of_epoch, n_steps
    return fitting + (int((left - validation) / step) if left > validation else 0)

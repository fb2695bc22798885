"""What is summed up over the steps of an epoch, on the device that computes them."""

import torch

NO_STEP = 2**62


class EpochSums:
    """The sums of an epoch, kept on the device and rarely read: each read makes the CPU wait for the GPU."""

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=torch.float64 if device.type != "mps" else torch.float32, device=device)
        self.n_right = torch.zeros((), dtype=torch.int64, device=device)
        self.broken = torch.full((), NO_STEP, dtype=torch.int64, device=device)

    def add(self, step: int, loss: torch.Tensor, plain: torch.Tensor, right: torch.Tensor, *, counts: bool) -> None:
        """Adds a micro-batch's losses and (n,) bool right answers if it `counts`; records the first broken step."""
        with torch.no_grad():
            self.broken = torch.where(torch.isfinite(loss), self.broken, torch.clamp(self.broken, max=step))
            if counts:
                self.loss += plain.detach().to(self.loss.dtype) * len(right)
                self.n_right += right.sum()

    def first_broken_step(self) -> int | None:
        """The first step whose loss was not finite."""
        step = int(self.broken)
        return None if step == NO_STEP else step

    def read(self) -> tuple[float, float]:
        """The sum of the losses and the number of right answers."""
        return float(self.loss), float(self.n_right)

"""State dicts of torch networks: read from files, and checked against a network."""

from pathlib import Path

import safetensors
import safetensors.torch
import torch

from headstart.errors import BackboneError
from headstart.model.tensor_names import check_tensors, damaged, state_in


def read_state(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file, or of a torch file read with weights_only=True. Raises BackboneError."""
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, safetensors.SafetensorError) as error:
        raise BackboneError(f"{file} cannot be read: {error}", hint="is the file complete?") from error
    except Exception as error:  # torch.load raises all kinds of errors on invalid files, and refuses pickled code
        raise damaged(file) from error
    return state_in(content, torch.Tensor, file)


def check_state(
    module: torch.nn.Module, state: dict[str, torch.Tensor], head: str, file: Path, *, head_must_fit: bool = False
) -> None:
    """Raises BackboneError unless `state` has exactly the network's tensors with the right shapes, as in `check_tensors`."""
    found, wanted = ({name: tuple(tensor.shape) for name, tensor in part.items()} for part in (state, module.state_dict()))
    check_tensors(found, wanted, head, file, head_must_fit=head_must_fit)

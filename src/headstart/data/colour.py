"""Colours of other spaces, turned into sRGB: by the ICC profile of a file, or by what a PNG or HEIC says in its place.

A profile that describes sRGB itself, as most do, is recognised once by what it does to a grid of colours; its images stay as
they are, to the last bit. So do images whose profile is damaged or made for other pixels.
"""

import io
import threading
from collections import OrderedDict

import numpy as np
from PIL import Image, ImageCms

from headstart.data.icc import SRGB_CHROMATICITIES, Chromaticities, profile_from
from headstart.storage import sha256_of_bytes

MAX_PROFILE_BYTES = 8 << 20  # larger ones are taken for damage; those of printers have 0.5 to 4 MB
# A profile that moves no colour of the grid by more describes sRGB, perhaps with the gamma of 2.2 that small profiles of
# cameras put for its curve (9 levels at most, 1.8 on average). Adobe RGB and Display P3 move colours by 100 and more.
NEAR_LEVELS, NEAR_MEAN_LEVELS = 10, 2.0
KEPT_TRANSFORMS = 64
SPACES = {"L": "GRAY", "RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}  # of the profile that fits a mode
DISPLAY_P3 = Chromaticities((0.3127, 0.3290), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
P3_PRIMARIES = 12  # ITU-T H.273, table 2

_LOCK = threading.Lock()  # transforms are made one at a time and then shared: lcms reads them only
_transforms: OrderedDict[tuple[str, str], ImageCms.ImageCmsTransform | None] = OrderedDict()


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB: the same one if its profile says nothing else, fits other pixels, or is damaged.

    Only modes L, LA, RGB, RGBA and CMYK are converted; L becomes RGB, LA becomes RGBA.
    """
    if not profile or len(profile) > MAX_PROFILE_BYTES:
        return image
    if image.mode == "LA":
        grey, alpha = image.split()
        converted = to_srgb(grey, profile)
        if converted is grey:
            return image
        converted.putalpha(alpha)
        return converted
    transform = _transform(profile, image.mode) if image.mode in SPACES else None
    return image if transform is None else transform.apply(image)


def profile_of(image: Image.Image, kind: str) -> bytes | None:
    """The ICC profile of an opened file, or one made of what a PNG or HEIC says of its colours otherwise; None for sRGB."""
    found = image.info.get("icc_profile")
    if isinstance(found, bytes) and found:
        return found
    if kind == "PNG" and "srgb" not in image.info:
        return _of_png(image)
    if kind == "HEIF" and (image.info.get("nclx_profile") or {}).get("color_primaries") == P3_PRIMARIES:
        return profile_from(None, DISPLAY_P3)
    return None


def _of_png(image: Image.Image) -> bytes | None:
    gamma, points = image.info.get("gamma"), image.info.get("chromaticity")
    if gamma is None and points is None:
        return None
    is_grey = image.mode in ("1", "L", "LA", "I", "I;16")
    chromaticities = SRGB_CHROMATICITIES
    if points is not None and not is_grey:
        chromaticities = Chromaticities(*((points[i], points[i + 1]) for i in range(0, 8, 2)))
    return profile_from(gamma, chromaticities, is_grey=is_grey)


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    key = (sha256_of_bytes(profile), mode)
    with _LOCK:
        if key not in _transforms:
            _transforms[key] = _new_transform(profile, mode)
            if len(_transforms) > KEPT_TRANSFORMS:
                _transforms.popitem(last=False)
        return _transforms[key]


def _new_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None if nothing is to be converted.

    Relative colorimetric with black point compensation, as photo editors and browsers do: black stays black.
    """
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGBA" if mode == "RGBA" else "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, ImageCms.PyCMSError):  # a damaged profile: viewers, too, then show the pixels as they are
        return None
    return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.linspace(0, 255, 18).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(18, -1, 3)
    if mode == "L":
        colours = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    before = Image.fromarray(colours)
    moved = np.abs(np.asarray(transform.apply(before.convert(mode)).convert("RGB"), int) - colours)
    return bool(moved.max() <= NEAR_LEVELS and moved.mean() <= NEAR_MEAN_LEVELS)

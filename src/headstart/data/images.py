"""The door of the only room that opens or encodes an image; what kinds of files ask for is in the modules it imports.

What a file is, its content says, not its name. Every image comes out as 8-bit sRGB, upright, or as an UnreadableImage
whose reason can be shown to the owner of the file.
"""

import io
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError, __version__, features

from headstart.channels import Channels, channels_of
from headstart.data.boxes import box_and_file
from headstart.data.colour import profile_of
from headstart.data.dicom import dicom_version, is_dicom, open_dicom
from headstart.data.eight_bits import as_meant, to_rgb
from headstart.data.heic import heic_version, open_heic
from headstart.data.image_files import BoxInFile, ImageFile
from headstart.data.multiband import MultibandImage, Picture, picture_of
from headstart.data.other_files import is_heic, rare_jpeg, what_else
from headstart.data.png_chunks import without_large_texts
from headstart.data.recent_pictures import RecentPictures
from headstart.data.remote_file import RemoteFile
from headstart.data.stacks import Stack, bands_of, levels_applied
from headstart.data.tiff_pages import MOST_BANDS, Page, Tag, in_words, is_tiff, photograph_in
from headstart.data.tiff_samples import is_for_samples, read_samples
from headstart.data.tiff_stacks import open_tiff_stack, stacks_version
from headstart.data.unreadable import Fault as Fault  # offered here too: this is where files are opened
from headstart.data.unreadable import UnreadableImage as UnreadableImage
from headstart.data.unreadable import check_size
from headstart.forks import lock_free_at_forks

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "BMP",
    "TIFF",
    "PPM",
    "AVIF",
)  # the JPEG reader also takes MPO, the format of 3D and phone cameras
ANIMATED = {"PNG", "WEBP", "AVIF"}  # formats whose files may be animations; MPO and HEIC hold other views of one photograph
MAX_PIXELS = 178_956_970  # as many as Pillow itself opens without an error; 0.5 GB as RGB
LARGE_PIXELS = 8_000_000  # an image of more, as it is decoded, is decoded while no other large one is
# Raised with every change in this room that changes a pixel, or which files have any; models keep the one they were made with.
# 1: Pillow's pixels as they are. 2: colours in sRGB, TIFF samples as they are meant, no animations, no previews of raw files.
DECODING = 2
EXIF_ORIENTATION = 0x0112
PLAIN_MODES = ("1", "L", "P")  # besides RGB: these become RGB without a loss
# EXIF orientation -> what turns the picture upright (TIFF 6.0, tag 274)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

T = TypeVar("T")

# Decoding takes up to 16 bytes a pixel (transparency, 16 bits): without turns, each thread could take gigabytes at once.
TURN = lock_free_at_forks()

Image.init()  # registers every plugin once, before threads start
# Pillow warns of large images and odd metadata. What matters of it is raised below as a reason; catching the warnings
# call by call is not possible, because warnings.catch_warnings is not safe in threads.
warnings.filterwarnings("ignore", module="PIL")


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """The pixels of a file, and what the file itself said of them."""

    rgb: Image.Image  # upright, 8-bit RGB; smaller than the file's where reduced decoding was asked for
    format: str  # Pillow's name, by content: "JPEG", "PNG" ...
    mode: str  # the file's own pixel mode: "RGB", "P", "I;16" ...
    width: int  # of the file, upright, pixels
    height: int
    pages: int = 1  # of the file, without previews; the first was decoded
    is_plain: bool = False  # these pixels are the file's own: upright, opaque, in sRGB; any viewer shows the same
    bands: MultibandImage | None = None  # the channels of an image of more than three; `rgb` shows the first three of them

    @property
    def seen(self) -> Picture:
        """What networks see: all channels."""
        return self.rgb if self.bands is None else self.bands

    @property
    def compared(self) -> Image.Image:
        """RGB by which pictures are described and compared: of more than three channels their mean, as grey."""
        return self.rgb if self.bands is None else self.bands.mean().convert("RGB")


WITH_BOXES = RecentPictures[DecodedImage]()


def pixels_version(decoding: int = DECODING, channels: str = "") -> str:
    """A name for all that turns a file's bytes into pixels: this room, Pillow, its JPEG library, what reads DICOM and HEIC,
    and what is chosen of stacks.
    """
    stacks = f"-{stacks_version()}-{channels}" if channels else ""
    dicom = f"-dicom{dicom_version()}" if dicom_version() else ""
    heic = f"-heic{heic_version()}" if heic_version() else ""
    return f"{decoding}-pillow{__version__}-jpeg{features.version_codec('jpg')}{dicom}{heic}{stacks}"


def read_bytes(path: ImageFile) -> bytes:
    """The bytes of a file, of a box with its mark. Raises UnreadableImage if it does not exist or cannot be read."""
    if isinstance(path, BoxInFile):
        return path.box.mark + read_bytes(path.picture)
    if isinstance(path, RemoteFile):
        return path.read()
    try:
        if not path.is_file():
            raise UnreadableImage("not a file" if path.exists() else "there is no such file")
        check_size(path.stat().st_size)
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise UnreadableImage(f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from error


def decode(
    data: bytes, *, shorter_side_px: int = 0, max_pixels: int = MAX_PIXELS, decoding: int = DECODING, channels: str = ""
) -> DecodedImage:
    """An upright image of 8 bits from the bytes of a file: RGB, and more channels where `channels` list more than three.

    `shorter_side_px` above 0 lets a JPEG be decoded at a half, a quarter or an eighth of its size, so long as its shorter
    side keeps at least that many pixels. An earlier `decoding` gives the pixels that it gave. `channels`, as --channels
    takes them, choose of a stack. Of bytes with a box, the image is what is in the box, cut out of the whole picture at its
    full size. Raises UnreadableImage.
    """
    box, file = box_and_file(data)
    if box is None:
        return _picture(data, _Wanted(shorter_side_px, max_pixels, decoding), channels)
    wanted = _Wanted(0, max_pixels, decoding)
    whole = WITH_BOXES.decoded(file, max_pixels, decoding, channels, lambda: _picture(file, wanted, channels))
    edges = box.edges(whole.width, whole.height)
    inside, bands = whole.rgb.crop(edges), whole.bands and whole.bands.crop(edges)
    return replace(whole, rgb=inside, bands=bands, width=inside.width, height=inside.height, is_plain=False)


def measured(data: bytes, channels: str, max_pixels: int = MAX_PIXELS) -> list[np.ndarray]:
    """The values that `channels` choose, before they are made black to white: one (height, width) array each.

    Of bytes with a box, those of the whole picture. Raises UnreadableImage.
    """
    _, file = box_and_file(data)
    wanted = _Wanted(0, max_pixels, DECODING)
    chosen = channels_of(channels)
    return _explained(file, wanted, lambda: bands_of(_stack_in(file, wanted, chosen), chosen))


def _picture(data: bytes, wanted: "_Wanted", channels: str) -> DecodedImage:
    if not channels:
        return _explained(data, wanted, lambda: _decoded(data, wanted))
    return _explained(data, wanted, lambda: _decoded_chosen(data, wanted, channels_of(channels)))


def _explained(data: bytes, wanted: "_Wanted", read: Callable[[], T]) -> T:
    """What `read` returns. Whatever it raises becomes an UnreadableImage."""
    if not data:
        raise UnreadableImage("the file is empty")
    try:
        return read()
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"more than {_millions(wanted.max_pixels)} million pixels", "size") from error
    except UnidentifiedImageError as error:
        reason = what_else(data)
        raise UnreadableImage(reason, "damaged" if reason.startswith("the image is damaged") else "type") from error
    except Exception as error:
        if reason := rare_jpeg(data):
            raise UnreadableImage(reason, "type") from error
        # A damaged file can make a decoder raise anything; each becomes the file's reason.
        raise UnreadableImage(f"the image is damaged: {error or type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class _Wanted:
    shorter_side_px: int
    max_pixels: int
    decoding: int


def _decoded(data: bytes, wanted: _Wanted) -> DecodedImage:
    if not is_dicom(data):
        return _decoded_image(data, wanted)
    if any(data[:128]):  # slides of microscopes are TIFF and DICOM in one file; other files only begin as if they were
        with suppress(Exception):
            return _decoded_image(data, wanted)
    return _decoded_dicom(data, wanted)


def _decoded_image(data: bytes, wanted: _Wanted) -> DecodedImage:
    page = photograph_in(data) if wanted.decoding > 1 and is_tiff(data) else None
    if page is not None and is_for_samples(page):
        return _decoded_samples(data, page, wanted)
    try:
        return _decoded_by_pillow(data, wanted, page)
    except ValueError as error:
        if "MAX_TEXT" not in str(error):
            raise
    smaller, profile = without_large_texts(data)
    return _decoded_by_pillow(smaller, wanted, None, profile)


def _decoded_by_pillow(data: bytes, wanted: _Wanted, page: Page | None, profile: bytes | None = None) -> DecodedImage:
    """The image of a file of any format; `page` is the photograph of a TIFF, `profile` replaces what a PNG says."""
    image = _opened(data, wanted, page)
    kind, mode, full = image.format or "", image.mode, image.size
    _check_pixels(full, wanted.max_pixels)
    if wanted.shorter_side_px and kind in ("JPEG", "MPO"):
        ratio = wanted.shorter_side_px / min(full)
        image.draft(None, (max(1, round(full[0] * ratio)), max(1, round(full[1] * ratio))))
    reduced = image.size != full
    with _turn(image.size):
        image.load()
        orientation = _orientation(image)
        meant = image
        if wanted.decoding > 1:
            profile = profile or profile_of(image, kind)
            meant = as_meant(image, kind, page)
        rgb = _upright(to_rgb(meant, kind, profile if wanted.decoding > 1 else None), orientation)
        # What is not RGB is converted in any case: there the file must be silent about its colours.
        has_own_colours = rgb is image or (image.mode in PLAIN_MODES and not profile and not image.has_transparency_data)
        is_plain = has_own_colours and meant is image and orientation == 1 and not reduced
        if rgb is not image:
            image.close()  # its pixels are not needed while the other's are resized
    # Pillow itself turns a TIFF upright while loading, so what was decoded in full tells its own upright size.
    width, height = rgb.size if not reduced else full[::-1] if 5 <= orientation <= 8 else full
    return DecodedImage(rgb, kind, mode, width, height, page.n_pages if page else 1, is_plain)


def _decoded_samples(data: bytes, page: Page, wanted: _Wanted) -> DecodedImage:
    size = page.number(Tag.WIDTH), page.number(Tag.HEIGHT)
    _check_pixels(size, wanted.max_pixels)
    with _turn(size):
        image = read_samples(data, page)
        mode = f"{image.mode};{max(page.bits)}"
        rgb = _upright(to_rgb(image, "TIFF", page.content(Tag.ICC_PROFILE)), page.number(Tag.ORIENTATION))
    return DecodedImage(rgb, "TIFF", mode, *rgb.size, page.n_pages)


def _decoded_dicom(data: bytes, wanted: _Wanted) -> DecodedImage:
    """The image of a DICOM file, as a viewer shows it when it is opened."""
    found = open_dicom(data)
    if found.frames > 1:
        raise UnreadableImage(
            f"a DICOM file of {found.frames} frames: say which are meant, as in --channels page=0 or page=max", "type"
        )
    _check_pixels((found.width, found.height), wanted.max_pixels)
    with _turn((found.width, found.height)):
        rgb = to_rgb(Image.fromarray(found.as_shown()), "DICOM", found.profile)
    return DecodedImage(rgb, "DICOM", found.mode, *rgb.size)


def _decoded_chosen(data: bytes, wanted: _Wanted, chosen: Channels) -> DecodedImage:
    """The planes and channels that were chosen, as grey, RGB or more channels."""
    stack = _stack_in(data, wanted, chosen)
    with _turn((stack.width, stack.height)):
        picture = picture_of(levels_applied(bands_of(stack, chosen), stack, chosen))
        turned = picture.transpose(UPRIGHT[stack.orientation]) if stack.orientation in UPRIGHT else picture
        bands = turned if isinstance(turned, MultibandImage) else None
        rgb = turned.first_three() if isinstance(turned, MultibandImage) else turned.convert("RGB")
    # Pages that are not used are chosen against, and not left out unnoticed.
    return DecodedImage(rgb, stack.format, stack.mode, *rgb.size, bands=bands)


def _stack_in(data: bytes, wanted: _Wanted, chosen: Channels) -> Stack:
    """The planes in a file of any format, none of them read yet but those of a photograph."""
    stack: Stack | None = None
    if is_tiff(data):
        with suppress(*([UnreadableImage] if is_dicom(data) else [])):
            stack = open_tiff_stack(data, chosen.page, wanted.max_pixels)
    if stack is None and is_dicom(data):
        stack = open_dicom(data).stack(as_measured=bool(chosen.levels or chosen.window))
    if stack is None:
        stack = _photograph_as_stack(data, wanted)
    _check_pixels((stack.width, stack.height), wanted.max_pixels)
    if stack.width * stack.height * stack.n_samples > MOST_BANDS * wanted.max_pixels:
        raise UnreadableImage(f"{stack.n_samples} values for each of {stack.width} x {stack.height} pixels", "size")
    return stack


def _photograph_as_stack(data: bytes, wanted: _Wanted) -> Stack:
    """Grey of 16 bits as it is; of all else the colours, as they are without a choice, which have no levels to choose."""
    with suppress(UnidentifiedImageError):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_pixels(image.size, wanted.max_pixels)
        if (image.mode.startswith("I;16") or image.mode == "I") and image.format in ("PNG", "PPM"):
            levels, kind, size = np.asarray(image), image.format, image.size
            return Stack(kind, image.mode, *size, {}, lambda at: levels, 1, 65535.0, orientation=_orientation(image))
    decoded = _decoded(data, wanted)
    pixels = np.asarray(decoded.rgb)
    is_grey = decoded.mode in ("1", "L")
    return Stack(
        format=decoded.format,
        mode=decoded.mode,
        width=pixels.shape[1],
        height=pixels.shape[0],
        lengths={},
        plane=lambda at: pixels[..., 0] if is_grey else pixels,
        n_samples=1 if is_grey else 3,
        white=255.0,
        is_colour=True,
        has_levels=False,
    )


def _opened(data: bytes, wanted: _Wanted, page: Page | None) -> Image.Image:
    if is_heic(data):
        return open_heic(data)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        if page is not None:
            raise UnreadableImage(f"a TIFF of a kind that is not read: {in_words(page)}", "type") from error
        raise
    if page is not None and page.index:
        image.seek(page.index)
    if wanted.decoding > 1 and image.format in ANIMATED and getattr(image, "is_animated", False):
        raise UnreadableImage("an animation, of which no frame is the photograph: save the frame that is meant", "type")
    return image


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise UnreadableImage(f"{size[0]} x {size[1]} pixels: more than {_millions(max_pixels)} million", "size")


def _turn(size: tuple[int, int]) -> AbstractContextManager[object]:
    return TURN if size[0] * size[1] > LARGE_PIXELS else nullcontext()


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def thumbnail(image: Image.Image, side_px: int) -> np.ndarray:
    """The whole image, made to fit into a white square: (side_px, side_px, 3) uint8."""
    ratio = side_px / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)  # large ones are halved first: as good, and faster
    square = Image.new("RGB", (side_px, side_px), "white")
    square.paste(small, ((side_px - small.width) // 2, (side_px - small.height) // 2))
    return np.asarray(square)


def of_pixels(pixels: np.ndarray) -> Image.Image:
    """(height, width, 3) uint8 as an image."""
    return Image.fromarray(pixels)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:
        # Broken metadata raises anything. The pixels are good, and "upright" is what most viewers then assume.
        return 0


def _millions(pixels: int) -> str:
    return f"{pixels / 1e6:.3g}" if pixels < 10**8 else str(pixels // 10**6)

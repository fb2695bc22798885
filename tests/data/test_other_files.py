"""Files that are no image of a format that is read: each is told by name."""

import io
import struct

import pytest
from PIL import Image

from headstart.data.images import decode
from headstart.data.unreadable import UnreadableImage


def reason_for(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data)
    assert caught.value.fault == "type"
    return caught.value.reason


def jpeg(frame: int, bits: int = 8) -> bytes:
    """A JPEG up to its frame header, with an application segment before it as cameras write."""
    header = struct.pack(">BHHB", bits, 48, 64, 3) + b"\1\x22\0\2\x11\1\3\x11\1"
    return b"\xff\xd8\xff\xe1\0\x08Exif\0\0\xff\xff" + bytes([frame]) + struct.pack(">H", len(header) + 2) + header + bytes(80)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(jpeg(0xC1, 12), "a JPEG of 12 bits a sample, which is not read: save it with 8 bits", id="12-bit JPEG"),
        pytest.param(jpeg(0xC2, 12), "a JPEG of 12 bits a sample, which is not read", id="12-bit progressive JPEG"),
        pytest.param(jpeg(0xC3), "a lossless JPEG, which is not read", id="lossless JPEG"),
        pytest.param(jpeg(0xC3, 16), "a lossless JPEG, which is not read", id="lossless JPEG of 16 bits"),
        pytest.param(jpeg(0xF7), "a JPEG-LS file, which is not read", id="JPEG-LS"),
        pytest.param(jpeg(0xC5), "a hierarchical JPEG, which is not read", id="hierarchical JPEG"),
        pytest.param(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), "JPEG 2000 is not read: save it as JPEG or PNG", id="JPEG 2000"),
        pytest.param(b"\xff\x4f\xff\x51" + bytes(60), "JPEG 2000 is not read: save it as JPEG or PNG", id="bare JPEG 2000"),
        pytest.param(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "JPEG XL is not read: save it as JPEG or PNG", id="JPEG XL"),
        pytest.param(b"\xff\x0a" + bytes(60), "JPEG XL is not read: save it as JPEG or PNG", id="bare JPEG XL"),
        pytest.param(b"II\xbc\1" + bytes(60), "JPEG XR is not read: save it as JPEG or PNG", id="JPEG XR"),
        pytest.param(b"FUJIFILMCCD-RAW 0201" + bytes(60), "a raw photograph (Fujifilm RAF)", id="RAF"),
        pytest.param(b"IIRO\x08\0\0\0" + bytes(60), "a raw photograph (Olympus ORF)", id="ORF"),
        pytest.param(b"IIU\0\x08\0\0\0" + bytes(60), "a raw photograph (Panasonic RW2)", id="RW2"),
        pytest.param(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a raw photograph (Canon CR3)", id="CR3"),
        pytest.param(b"FOVb" + bytes(60), "a raw photograph (Sigma X3F)", id="X3F"),
        pytest.param(b"\0MRM" + bytes(60), "a raw photograph (Minolta MRW)", id="MRW"),
        pytest.param(b"\0\0\0\x18ftypisom" + bytes(60), "a video, not an image", id="MP4"),
        pytest.param(b"RIFF\0\0\0\0AVI LIST" + bytes(60), "a video, not an image", id="AVI"),
        pytest.param(b"\x93NUMPY\1\0" + bytes(60), "a NumPy array, not an image", id="NumPy"),
    ],
)
def test_the_name_of_what_is_not_read(data: bytes, reason: str) -> None:
    """What is not read is named, with what to save it as where that helps: its owner then knows that the file is whole."""
    assert reason_for(data).startswith(reason)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animations(kind: str) -> None:
    """One rule for all: no frame of an animation is taken for the photograph, whatever its format."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=100)
    assert "animation" in reason_for(buffer.getvalue())
    if kind != "GIF":
        assert decode(buffer.getvalue(), decoding=1).rgb.size == (16, 16), "models that were made before read it"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_one_frame_is_no_animation(kind: str) -> None:
    """A file that could be an animation but has a single frame is an image."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (255, 0, 0)).save(buffer, kind, save_all=True, append_images=[])
    assert decode(buffer.getvalue()).rgb.getpixel((8, 8))[0] > 240


@pytest.mark.parametrize("data", [b"\xff\xd8\xff", b"\xff\xd8\xff\xff\xff\xff\xff", b"\xff\xd8\xff\xe0\0\0\xff\xe0\0\0"])
def test_a_jpeg_that_ends_in_its_header(data: bytes) -> None:
    """A JPEG of a few bytes is damaged, and looking for its frame comes to an end."""
    with pytest.raises(UnreadableImage) as caught:
        decode(data)
    assert caught.value.reason.startswith("the image is damaged")

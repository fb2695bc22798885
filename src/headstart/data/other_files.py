"""What a file is that no reader here takes: the reason that its owner is told."""

FORMATS_IN_WORDS = "JPEG, PNG, WebP, BMP, TIFF, PPM, AVIF"
VIDEO = "a video, not an image: train and predict take frames of it with --every"
# Beginnings of files that are often found among images, and what to tell their owner.
BEGINNINGS = (
    (b"GIF8", "a GIF: animations and placeholders are not read"),
    (b"\xff\xd8\xff", "the image is damaged: a JPEG cut off in its header"),
    (b"\x89PNG", "the image is damaged: a PNG cut off in its header"),
    (b"%PDF", "a PDF, not an image"),
    (b"PK\x03\x04", "a zip archive, not an image"),
    (b"\x1f\x8b", "a gzip archive, not an image"),
    (b"<svg", "an SVG drawing, not pixels"),
    (b"<!doctype", "a web page, not an image"),
    (b"<html", "a web page, not an image"),
    (b"8bps", "a Photoshop file, not a flat image"),
    (b"\x00\x00\x01\x00", "an icon file, not a photograph"),
    (b"\x76\x2f\x31\x01", "an OpenEXR file: floating-point pixels are not read"),
    (b"#?RADIANCE", "a Radiance HDR file: floating-point pixels are not read"),
    (b"\x93NUMPY", "a NumPy array, not an image"),
    (b"SIMPLE  =", "a FITS file, not a photograph"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000 is not read: save it as JPEG or PNG"),
    (b"\xff\x4f\xff\x51", "JPEG 2000 is not read: save it as JPEG or PNG"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL is not read: save it as JPEG or PNG"),
    (b"\xff\x0a", "JPEG XL is not read: save it as JPEG or PNG"),
    (b"II\xbc\x01", "JPEG XR is not read: save it as JPEG or PNG"),
    (b"\x1aE\xdf\xa3", VIDEO),
)
RAW = "a raw photograph ({kind}), which needs developing: save it as JPEG or TIFF; the preview in it is not the photograph"
RAW_BEGINNINGS = (
    (b"FUJIFILMCCD-RAW", "Fujifilm RAF"),
    (b"IIRO", "Olympus ORF"),
    (b"IIRS", "Olympus ORF"),
    (b"MMOR", "Olympus ORF"),
    (b"IIU\0", "Panasonic RW2"),
    (b"FOVb", "Sigma X3F"),
    (b"\0MRM", "Minolta MRW"),
)
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs")
PLAIN_HEIF_BRANDS = (b"mif1", b"msf1")  # of HEIC and of AVIF; the brands after it tell which
VIDEO_BRANDS = (
    *(b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V ", b"MSNV", b"dash"),
    *(b"3gp4", b"3gp5", b"3gp6", b"3g2a", b"XAVC", b"f4v "),
)
# A frame header of JPEG (T.81, B.1.1.3) of a kind that few programs read, and its name.
RARE_FRAMES = {
    0xC3: "a lossless JPEG",
    0xC5: "a hierarchical JPEG",
    0xC6: "a hierarchical JPEG",
    0xC7: "a hierarchical JPEG",
    0xC9: "a JPEG with arithmetic coding",
    0xCA: "a JPEG with arithmetic coding",
    0xCB: "a lossless JPEG",
    0xCD: "a hierarchical JPEG",
    0xCE: "a hierarchical JPEG",
    0xCF: "a hierarchical JPEG",
    0xF7: "a JPEG-LS file",
}
BARE_MARKERS = (0x01, *range(0xD0, 0xD9))  # markers of JPEG without a length
START_OF_SCAN = 0xDA


def raw_reason(kind: str) -> str:
    """What is told of a raw photograph, such as "Nikon NEF"."""
    return RAW.format(kind=kind)


def is_heic(data: bytes) -> bool:
    """Whether the bytes begin as a HEIC photograph; AVIF, which has the same container, is none."""
    if data[4:8] != b"ftyp":
        return False
    brands = data[16 : max(16, int.from_bytes(data[:4], "big"))]
    return data[8:12] in HEIC_BRANDS or (data[8:12] in PLAIN_HEIF_BRANDS and b"avif" not in brands and b"avis" not in brands)


def video_format(data: bytes) -> str | None:
    """What a video is, as FFmpeg calls it; None if the bytes do not begin as one."""
    if data.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "avi"
    return "mp4" if data[4:8] == b"ftyp" and data[8:12] in VIDEO_BRANDS else None


def is_video(data: bytes) -> bool:
    """Whether the bytes begin as a video."""
    return video_format(data) is not None


def what_else(data: bytes) -> str:
    """What the bytes of a file are that is not an image of a format that is read."""
    start = data[:64].lstrip().lower()
    for beginning, kind in RAW_BEGINNINGS:
        if data.startswith(beginning):
            return raw_reason(kind)
    if rare := rare_jpeg(data):
        return rare
    for beginning, reason in BEGINNINGS:
        if start.startswith(beginning.lower()) or data.startswith(beginning):
            return reason
    if data[4:8] == b"ftyp" and data[8:11] == b"crx":
        return raw_reason("Canon CR3")
    if is_video(data):
        return VIDEO
    if all(byte >= 9 for byte in data[:512]):
        return "a text file, not an image"
    return f"not an image in a format that is read ({FORMATS_IN_WORDS})"


def rare_jpeg(data: bytes) -> str:
    """What a JPEG of a kind that is not read is, from its frame header; "" for an ordinary or a damaged one."""
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 5 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == START_OF_SCAN:
            return ""
        if marker == 0xFF or marker in BARE_MARKERS:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in RARE_FRAMES:
            return f"{RARE_FRAMES[marker]}, which is not read: save it as an ordinary JPEG or as PNG"
        if marker in (0xC0, 0xC1, 0xC2) and data[at + 4] != 8:
            return f"a JPEG of {data[at + 4]} bits a sample, which is not read: save it with 8 bits, or as a PNG with 16"
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return ""

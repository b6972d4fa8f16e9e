"""Opening images: every format and depth, and whatever else a folder may hold."""

import io
import os
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from vinreader.folders import find_items
from vinreader.image import kinds, limits, pages
from vinreader.image.boxes import normalise
from vinreader.image.kinds import PILLOW
from vinreader.image.pages import UnreadableImage, open_pages, size_seen

GREY = np.kron(np.array([[20, 200], [120, 250]], np.uint8), np.ones((8, 12), np.uint8))


def write(path, image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("format", PILLOW)
def test_files_of_a_format_are_known_by_ending_and_by_beginning(format):
    endings = Image.registered_extensions().items()
    registered = {ending for ending, name in endings if name == format}
    assert registered and registered <= kinds.SUFFIXES
    start = file_of(PAGE.convert("RGB"), format)[:12]
    assert kinds.kind_of(start) == format and not kinds.why_not_read(format)
    assert kinds.kind_of(bytes(4) + start[4:]) != format


BOX = np.full((60, 44), 205, np.uint8)
cv2.putText(BOX, "R", (7, 46), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 40, 3, cv2.LINE_AA)
PAGE = Image.fromarray(BOX)
COLOUR, BITS = PAGE.convert("RGB"), PAGE.convert("1", dither=0)
# How a picture is stored that EXIF's orientation turns into the one that is seen.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def file_of(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def turned(orientation, format, mode="L", **options):
    """The box stored so that it is to be turned."""
    stored = PAGE.convert(mode).transpose(STORED[orientation])
    if format == "TIFF":
        return file_of(stored, format, tiffinfo={0x112: orientation}, **options)
    exif = Image.Exif()
    exif[0x112] = orientation
    return file_of(stored, format, exif=exif, **options)


def run_length_bmp():
    rows = b"".join(
        b"".join(bytes((1, grey)) for grey in row) + b"\0\0" for row in BOX[::-1].tolist()
    )
    greys = b"".join(bytes((grey, grey, grey, 0)) for grey in range(256))
    size = BOX.shape[::-1]
    header = struct.pack("<I2i2H6I", 40, *size, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<3I", 1078 + len(rows), 0, 1078) + header + greys + rows + b"\0\1"


def lab():
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(COLOUR, *profiles, outputMode="LAB")


def noted(png, kind, content):
    """A PNG with one more chunk after its pixels."""
    chunk = kind + content
    place = len(png) - 12
    chunk = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:place] + chunk + png[place:]


XMP = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="8"/>'
LYING = PAGE.rotate(-90, expand=True)
LOSSY = {"irreversible": True, "quality_mode": "dB", "quality_layers": [40]}
PREVIEW = Image.new("L", (22, 30), 90)
REDUCED, MASK = PREVIEW.copy(), PREVIEW.copy()
REDUCED.encoderinfo, MASK.encoderinfo = {"tiffinfo": {254: 1}}, {"tiffinfo": {254: 4}}
DEEP = Image.fromarray(BOX.astype(np.uint16) * 257)
WITH_PREVIEWS = {"save_all": True, "append_images": [REDUCED, MASK]}
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# How much grey levels may differ on average; LOOK: only what the network sees is alike.
SAME, CLOSE, LOOK = 0, 4, None
ENCODINGS = {
    "PNG grey": (file_of(PAGE, "PNG"), SAME),
    "PNG 1 bit": (file_of(BITS, "PNG"), LOOK),
    "PNG palette": (file_of(PAGE.convert("P"), "PNG"), SAME),
    "PNG grey and alpha": (file_of(PAGE.convert("LA"), "PNG"), SAME),
    "PNG colour": (file_of(COLOUR, "PNG"), SAME),
    "PNG colour and alpha": (file_of(PAGE.convert("RGBA"), "PNG"), SAME),
    "PNG 16 bits": (file_of(DEEP, "PNG"), SAME),
    "PNG 12 of 16 bits": (file_of(Image.fromarray(BOX.astype(np.uint16) * 16), "PNG"), CLOSE),
    "PNG paper transparent": (file_of(PAGE, "PNG", transparency=205), LOOK),
    "PNG turned": (turned(6, "PNG"), SAME),
    "PNG turned after its pixels": (noted(file_of(LYING, "PNG"), b"iTXt", XMP), SAME),
    "PNG with ICC": (file_of(PAGE, "PNG", icc_profile=ICC), SAME),
    "JPEG grey": (file_of(PAGE, "JPEG"), CLOSE),
    "JPEG colour": (file_of(COLOUR, "JPEG"), CLOSE),
    "JPEG CMYK": (file_of(PAGE.convert("CMYK"), "JPEG"), CLOSE),
    "JPEG progressive": (file_of(COLOUR, "JPEG", progressive=True), CLOSE),
    "JPEG turned": (turned(8, "JPEG"), CLOSE),
    "JPEG with ICC": (file_of(COLOUR, "JPEG", icc_profile=ICC), CLOSE),
    "MPO with a preview": (file_of(PAGE, "MPO", save_all=True, append_images=[PREVIEW]), CLOSE),
    "TIFF grey": (file_of(PAGE, "TIFF"), SAME),
    "TIFF colour": (file_of(COLOUR, "TIFF"), SAME),
    "TIFF colour and alpha": (file_of(PAGE.convert("RGBA"), "TIFF"), SAME),
    "TIFF grey and alpha": (file_of(PAGE.convert("LA"), "TIFF"), SAME),
    "TIFF CMYK": (file_of(PAGE.convert("CMYK"), "TIFF"), CLOSE),
    "TIFF LAB": (file_of(lab(), "TIFF"), LOOK),
    "TIFF palette": (file_of(PAGE.convert("P"), "TIFF"), SAME),
    "TIFF 16 bits": (file_of(DEEP, "TIFF"), SAME),
    "TIFF 32 bits": (file_of(PAGE.convert("I"), "TIFF"), SAME),
    "TIFF float": (file_of(Image.fromarray(BOX.astype(np.float32) / 255), "TIFF"), SAME),
    "TIFF 1 bit": (file_of(BITS, "TIFF"), LOOK),
    "TIFF fax 3": (file_of(BITS, "TIFF", compression="group3"), LOOK),
    "TIFF fax 4": (file_of(BITS, "TIFF", compression="group4"), LOOK),
    "TIFF white is 0": (file_of(PAGE, "TIFF", tiffinfo={262: 0}), SAME),
    "TIFF 1 bit, white is 0": (file_of(BITS, "TIFF", tiffinfo={262: 0}), LOOK),
    "TIFF LZW": (file_of(PAGE, "TIFF", compression="tiff_lzw"), SAME),
    "TIFF deflate": (file_of(PAGE, "TIFF", compression="tiff_adobe_deflate"), SAME),
    "TIFF PackBits": (file_of(PAGE, "TIFF", compression="packbits"), SAME),
    "TIFF JPEG": (file_of(COLOUR, "TIFF", compression="jpeg"), CLOSE),
    "TIFF in strips": (file_of(PAGE, "TIFF", compression="tiff_lzw", strip_size=500), SAME),
    "BigTIFF": (file_of(PAGE, "TIFF", big_tiff=True), SAME),
    "TIFF with a preview and a mask": (file_of(PAGE, "TIFF", **WITH_PREVIEWS), SAME),
    "BMP grey": (file_of(PAGE, "BMP"), SAME),
    "BMP colour": (file_of(COLOUR, "BMP"), SAME),
    "BMP 1 bit": (file_of(BITS, "BMP"), LOOK),
    "BMP run lengths": (run_length_bmp(), SAME),
    "WEBP": (file_of(COLOUR, "WEBP"), CLOSE),
    "WEBP lossless": (file_of(COLOUR, "WEBP", lossless=True), SAME),
    "GIF": (file_of(PAGE, "GIF"), SAME),
    "GIF paper transparent": (file_of(PAGE, "GIF", transparency=205), LOOK),
    "JPEG 2000": (file_of(PAGE, "JPEG2000"), SAME),
    "JPEG 2000 colour": (file_of(COLOUR, "JPEG2000"), SAME),
    "JPEG 2000 lossy": (file_of(PAGE, "JPEG2000", **LOSSY), CLOSE),
    "JPEG 2000 codestream": (file_of(PAGE, "JPEG2000", no_jp2=True), SAME),
    "AVIF": (file_of(COLOUR, "AVIF", quality=80), CLOSE),
    "AVIF turned": (turned(6, "AVIF"), CLOSE),
} | {
    f"TIFF {mode} turned by {orientation}": (turned(orientation, "TIFF", mode, **options), SAME)
    for orientation in STORED
    for mode, options in (("L", {}), ("RGB", {}), ("L", {"compression": "tiff_lzw"}))
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_box_is_read_alike_in_every_encoding(tmp_path, name):
    content, loss = ENCODINGS[name]
    path = tmp_path / "box.dat"
    path.write_bytes(content)
    (page,) = open_pages(path)
    assert page.dtype == np.uint8 and page.shape == BOX.shape == size_seen(path)
    for same in (str(path), io.BytesIO(content)):
        assert np.array_equal(page, open_pages(same)[0])
    if loss is not LOOK:
        assert np.abs(page.astype(int) - BOX).mean() <= loss
    expected, seen = (normalise(image).pixels.astype(float) for image in (BOX, page))
    assert np.abs(seen - expected).sum() < 0.25 * expected.sum()


def test_a_field_stored_sideways_is_no_box_of_a_card(tmp_path):
    field = Image.new("L", (60, 600), 200)
    exif = Image.Exif()
    exif[0x112] = 6
    names = [f"{number:02}.jpg" for number in range(1, 18)]
    for name in names:
        field.save(tmp_path / name, exif=exif)
    assert [path.name for path in find_items(tmp_path)] == names


def test_transparency_is_paper(tmp_path):
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (5, 5, 10, 15))
    (page,) = open_pages(write(tmp_path / "box.png", image))
    assert page[0, 0] == 255 and page[7, 7] == 0
    palette = Image.fromarray(GREY).convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    path = write(tmp_path / "box.gif", palette, transparency=palette.info["transparency"])
    (page,) = open_pages(path)
    assert page[0, 0] == 255


@pytest.mark.parametrize("format", ["TIFF", "GIF"])
def test_pages(format):
    sheets = [Image.fromarray(np.full((20, 30), grey, np.uint8)) for grey in (10, 100, 200)]
    content = file_of(sheets[0], format, save_all=True, append_images=sheets[1:])
    assert [int(page[5, 5]) for page in open_pages(io.BytesIO(content))] == [10, 100, 200]


def test_previews_alone_are_better_than_nothing(tmp_path):
    path = write(tmp_path / "box.tif", PREVIEW, tiffinfo={254: 1}, format="TIFF")
    assert open_pages(path)[0].shape == size_seen(path) == (30, 22)


PDF = file_of(PAGE, "PDF", save_all=True, append_images=[PAGE.rotate(180)])


@pytest.mark.parametrize(
    ("start", "kind", "says"),
    [
        (PDF, "PDF", "PDF: not read; for that: pip install pypdfium2"),
        (b"\0\0\0\x18ftypheic", "HEIC", "HEIC: not read; for that: pip install pillow-heif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", "HEIC", "HEIC: not read"),
        (b"PK\x03\x04" + bytes(20), "ZIP", "ZIP: not read; unpack it"),
        (b"AT&TFORM" + bytes(20), "DJVU", "DJVU: not read; save it as PNG or TIFF"),
    ],
)
def test_what_is_known_and_not_read_is_named(monkeypatch, start, kind, says):
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    assert kinds.kind_of(start) == kinds.kind_of(start[:12]) == kind
    assert kinds.why_not_read(kind).startswith(says)
    for look in (open_pages, size_seen):
        with pytest.raises(UnreadableImage, match=re.escape(says)):
            look(io.BytesIO(start))


def test_avif_in_a_container_without_a_codec_in_its_name():
    assert kinds.kind_of(b"\0\0\0\x20ftypmif1\0\0\0\0mif1avifmiaf") == "AVIF"
    assert kinds.kind_of(b"VIN;character;x") == ""


def test_pages_of_a_pdf(tmp_path, monkeypatch):
    pytest.importorskip("pypdfium2")
    path = tmp_path / "card.dat"
    path.write_bytes(PDF)
    first, second = open_pages(path)
    assert first.dtype == np.uint8 and first.shape == BOX.shape == size_seen(path)
    for page, expected in ((first, BOX), (second, BOX[::-1, ::-1])):
        assert np.abs(page.astype(int) - expected).mean() < 4  # Pillow stores JPEG in it
    assert kinds.kind_of(PDF[:12]) == "PDF" and not kinds.why_not_read("PDF")
    for cut in (PDF[:200], PDF[:12] + bytes(3000)):
        with pytest.raises(UnreadableImage, match="damaged"):
            open_pages(io.BytesIO(cut))
    monkeypatch.setattr(limits, "MAX_PIXELS", 2000)
    with pytest.raises(UnreadableImage, match="larger than"):
        open_pages(path)


def test_a_pdf_page_that_is_no_scan_is_drawn_at_300_dots_an_inch():
    pdfium = pytest.importorskip("pypdfium2")
    document, buffer = pdfium.PdfDocument.new(), io.BytesIO()
    document.new_page(72, 36)
    document.save(buffer)
    (page,) = open_pages(buffer)
    assert page.shape == size_seen(buffer) == (150, 300) and (page == 255).all()


def test_heic():
    pytest.importorskip("pillow_heif").register_heif_opener()
    content = file_of(PAGE, "HEIF", save_all=True, append_images=[PREVIEW])
    (page,) = open_pages(io.BytesIO(content))
    assert page.shape == size_seen(io.BytesIO(content)) == BOX.shape
    assert np.abs(page.astype(int) - BOX).mean() < 4
    with pytest.raises(UnreadableImage, match="damaged"):
        open_pages(io.BytesIO(content[:400]))


def test_an_error_of_our_own_is_not_told_as_damage(tmp_path, monkeypatch):
    path = write(tmp_path / "box.png", PAGE)
    monkeypatch.setattr(pages, "_grey", lambda page: page.no_such_thing)
    with pytest.raises(AttributeError, match="no_such_thing"):
        open_pages(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "box.png")
    with pytest.raises(UnreadableImage, match="not seekable"):
        open_pages(tmp_path / "box.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"VIN;character\n", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "not an image"),
        (ENCODINGS["PNG 16 bits"][0][:-60], "damaged or incomplete"),
    ],
)
def test_what_is_not_an_image(tmp_path, content, message):
    path = tmp_path / "box.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=message):
        open_pages(path)


def test_no_file_and_no_image_file(tmp_path):
    with pytest.raises(UnreadableImage, match="does not exist"):
        open_pages(tmp_path / "missing.png")
    with pytest.raises(UnreadableImage, match="folder"):
        open_pages(tmp_path)


def test_a_file_deleted_while_it_is_opened(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    path.write_bytes(b"cut o")
    opened = Image.open

    def open_and_delete(*arguments, **options):
        try:
            return opened(*arguments, **options)
        finally:
            path.unlink()

    monkeypatch.setattr(Image, "open", open_and_delete)
    with pytest.raises(UnreadableImage, match="not an image of a known kind"):
        open_pages(path)


@pytest.mark.parametrize("absurd", [np.inf, -np.inf, np.nan, 1e38])
def test_a_page_of_absurd_numbers_is_a_page(tmp_path, absurd):
    values = np.full((40, 30), 0.9, np.float32)
    values[10:30, 14:17] = 0.1
    values[0, 0] = absurd
    Image.fromarray(values).save(tmp_path / "box.tif")
    (page,) = open_pages(tmp_path / "box.tif")
    assert page.shape == (40, 30) and page.dtype == np.uint8

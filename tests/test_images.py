"""Opening images: every format and depth, and whatever else a folder may hold."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from vinreader.image import pages as images
from vinreader.image.pages import FORMATS, UnreadableImage, open_pages

GREY = np.kron(np.array([[20, 200], [120, 250]], np.uint8), np.ones((8, 12), np.uint8))


def write(path, image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_formats_by_content(tmp_path, format):
    path = write(tmp_path / "box.dat", Image.fromarray(GREY).convert("RGB"), format=format)
    (page,) = open_pages(path)
    assert page.dtype == np.uint8 and page.shape == GREY.shape
    assert np.abs(page.astype(int) - GREY).mean() < 4


@pytest.mark.parametrize("format", FORMATS)
def test_files_of_a_format_are_known_by_ending_and_by_beginning(tmp_path, format):
    Image.init()
    registered = {
        ending for ending, name in Image.registered_extensions().items() if name == format
    }
    assert registered and registered <= images.SUFFIXES
    path = write(tmp_path / "box.dat", Image.fromarray(GREY).convert("RGB"), format=format)
    start = path.read_bytes()[:12]
    assert images.begins_as_image(start)
    assert not images.begins_as_image(bytes(4) + start[4:])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "CMYK", "F"])
def test_colour_modes(tmp_path, mode):
    image = Image.fromarray(GREY)
    if mode == "I;16":
        image = Image.fromarray(GREY.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(GREY.astype(np.float32) / 255)
    else:
        image = image.convert(mode)
    (page,) = open_pages(write(tmp_path / "box.tif", image, format="TIFF"))
    assert page.dtype == np.uint8 and page.shape == GREY.shape
    if mode != "1":
        assert np.abs(page.astype(int) - GREY).mean() < 4


def test_twelve_bits_are_not_black(tmp_path):
    image = Image.fromarray(GREY.astype(np.uint16) * 16)
    (page,) = open_pages(write(tmp_path / "box.png", image))
    assert np.abs(page.astype(int) - GREY).mean() < 4


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


def test_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    path = write(tmp_path / "box.jpg", Image.fromarray(GREY), exif=exif, quality=95)
    (page,) = open_pages(path)
    assert np.abs(page.astype(int) - np.rot90(GREY, -1)).mean() < 4


@pytest.mark.parametrize("format", ["TIFF", "GIF"])
def test_pages(tmp_path, format):
    pages = [Image.fromarray(np.full((20, 30), grey, np.uint8)) for grey in (10, 100, 200)]
    path = write(tmp_path / "card", pages[0], format=format, save_all=True, append_images=pages[1:])
    assert [int(page[5, 5]) for page in open_pages(path)] == [10, 100, 200]


def encoded(format):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    Image.fromarray(noise).convert("RGB").save(buffer, format=format)
    return buffer.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_end_in_pages_or_a_message(tmp_path, format):
    good = encoded(format)
    random = np.random.default_rng(1)
    path = tmp_path / "box"
    for _ in range(60):
        bad = bytearray(good)
        for position in random.integers(0, len(bad), 4):
            bad[position] ^= 1 << random.integers(8)
        path.write_bytes(bad[: random.integers(1, len(bad) + 1)])
        try:
            assert all(page.dtype == np.uint8 and page.ndim == 2 for page in open_pages(path))
        except UnreadableImage as error:
            assert 0 < len(str(error)) < 80 and "Error" not in str(error)


def with_checksums(content):
    """A PNG of which every chunk has the checksum of what is in it."""
    place, fixed = 8, content[:8]
    while place < len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4])
        fixed += content[place:end] + zlib.crc32(content[place + 4 : end]).to_bytes(4)
        place = end + 4
    return fixed


def told(content):
    """The pages of a file, or why there are none."""
    try:
        return [page.tolist() for page in open_pages(io.BytesIO(content))]
    except UnreadableImage as error:
        return str(error)


def test_a_grey_png_is_read_as_pillow_reads_it_whole_or_damaged(monkeypatch):
    """Whose decoder is several times as fast and less strict; so are checksums that hold."""
    rng = np.random.default_rng(2)
    contents = []
    for number in range(200):
        buffer = io.BytesIO()
        shape = rng.integers(1, 40, 2)
        image = Image.fromarray(rng.integers(0, 5, shape).astype(np.uint8) * 60)
        image.save(buffer, "PNG", **({"dpi": (300, 300)} if number % 3 == 0 else {}))
        content = bytearray(buffer.getvalue())
        for place in rng.integers(0, len(content), number % 4):
            content[place] ^= 1 << rng.integers(8)
        cut = content[: rng.integers(1, len(content) + 1)] if number % 7 == 0 else content
        contents.append(with_checksums(bytes(cut)) if number % 2 else bytes(cut))
    quick = [told(content) for content in contents]
    taken = [images._plain_png(io.BytesIO(content)) is not None for content in contents]
    assert 40 < sum(taken) < 120
    monkeypatch.setattr(images, "_plain_png", lambda path: None)
    assert quick == [told(content) for content in contents]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"VIN;character\n", "not an image"), (b"\x89PNG\r\n\x1a\n", "not an image")],
)
def test_what_is_not_an_image(tmp_path, content, message):
    path = tmp_path / "box.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=message):
        open_pages(path)


def test_truncated(tmp_path):
    path = tmp_path / "box.png"
    path.write_bytes(encoded("PNG")[:-600])
    with pytest.raises(UnreadableImage, match="damaged or incomplete"):
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


def test_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = write(tmp_path / "box.png", Image.new("1", (3000, 3000)))
    assert open_pages(path)[0].shape == (3000, 3000)
    monkeypatch.setattr(images, "MAX_PIXELS", 1_000_000)
    with pytest.raises(UnreadableImage, match="larger than 1 million pixels"):
        open_pages(path)


def test_a_path_may_be_a_text(tmp_path):
    Image.fromarray(np.full((20, 20), 7, np.uint8)).save(tmp_path / "box.png")
    (page,) = open_pages(str(tmp_path / "box.png"))
    assert (page == 7).all()

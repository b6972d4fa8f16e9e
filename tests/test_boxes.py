"""From a box to 28x28: what may change in a scan without changing what the network sees."""

from vintraining.drawing.cards import draw_cards

import cv2
import numpy as np
import pytest

from vinreader.image.boxes import normalise, normalise_all, normalise_batch, steps
from vinreader.spec import CHARACTERS, SIDE

# Characters whose straight strokes look most like printed lines.
STRAIGHT = "1EFHLTZ"


def draw(character, side=56, paper=210, ink=60, scale=1.5, thickness=3):
    """A character in the middle of a uint8 (side, side) sheet, smoothed as a scanner does."""
    size, _ = cv2.getTextSize(character, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    corner = ((side - size[0]) // 2, (side + size[1]) // 2)
    image = np.full((side, side), paper, np.uint8)
    cv2.putText(
        image, character, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thickness, cv2.LINE_AA
    )
    return image


def boxed(image, thickness=2, inset=3, sides="tblr", ink=60, slope=0.0):
    """The image with straight lines at `inset` from the named edges, as long as the image."""
    image = image.copy()
    height, width = image.shape
    lean = round(slope * width / 2)
    near, far_x, far_y = inset, width - 1 - inset, height - 1 - inset
    ends = {
        "t": ((near if "l" in sides else 0, near - lean), (width - 1, near + lean)),
        "b": ((0, far_y - lean), (width - 1, far_y + lean)),
        "l": ((near + lean, 0), (near - lean, height - 1)),
        "r": ((far_x + lean, 0), (far_x - lean, height - 1)),
    }
    for side in sides:
        cv2.line(image, *ends[side], ink, thickness)
    return image


def difference(first, second):
    """Mean difference of two grey images, relative to the ink of the first."""
    first, second = first.astype(float), second.astype(float)
    return np.abs(first - second).sum() / first.sum()


def pixels(image):
    return normalise(image).pixels


@pytest.mark.parametrize("character", CHARACTERS)
def test_form_is_emnist(character):
    box = normalise(draw(character))
    assert box.pixels.shape == (SIDE, SIDE) and box.pixels.dtype == np.uint8
    assert not box.blank and box.message == ""
    rows, columns = np.nonzero(box.pixels > 127)
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    assert 22 <= longer <= 25
    assert abs((rows.min() + rows.max()) / 2 - 13.5) <= 0.5
    assert abs((columns.min() + columns.max()) / 2 - 13.5) <= 0.5
    assert box.pixels[0].max() == box.pixels[:, -1].max() == 0
    assert box.pixels.max() >= 250


@pytest.mark.parametrize("character", CHARACTERS)
def test_nearly_the_same_again(character):
    once = pixels(draw(character))
    assert difference(once, pixels(once)) < 0.25


@pytest.mark.parametrize("character", CHARACTERS)
def test_same_from_any_sheet(character):
    image = draw(character)
    expected = pixels(image)
    assert difference(expected, pixels(255 - image)) == 0
    shifted = np.roll(image, (3, -4), (0, 1))
    larger = np.pad(image, 20, constant_values=210)
    far = np.roll(larger, (20, -20), (0, 1))
    doubled = np.kron(image, np.ones((2, 2), np.uint8))
    turned_down = (image // 3 + 20).astype(np.uint8)
    for other in (shifted, larger, far, doubled, turned_down):
        assert difference(expected, pixels(other)) < 0.25
    fine = draw(character, side=160, scale=4, thickness=8)
    for times in (2, 3):
        assert difference(pixels(fine), pixels(fine.repeat(times, 0).repeat(times, 1))) == 0


@pytest.mark.parametrize("character", CHARACTERS)
def test_uneven_light_and_noise(character):
    image = draw(character).astype(float)
    slope = np.linspace(-60, 20, image.shape[1])
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    scan = (image + slope + noise).clip(0, 255).astype(np.uint8)
    assert difference(pixels(draw(character)), pixels(scan)) < 0.35


@pytest.mark.parametrize("character", CHARACTERS)
@pytest.mark.parametrize(
    "box",
    [
        {},
        {"thickness": 1},
        {"thickness": 4},
        {"inset": 0},
        {"inset": 6, "thickness": 1},
        {"sides": "t"},
        {"sides": "b"},
        {"sides": "l"},
        {"sides": "r"},
        {"sides": "tb"},
        {"sides": "lr"},
        {"sides": "bl"},
        {"sides": "tlr"},
        {"slope": 0.04},
        {"ink": 120},
        {"ink": 10},
    ],
    ids=str,
)
def test_printed_lines_go_and_strokes_stay(character, box):
    image = draw(character, side=64)
    assert difference(pixels(image), pixels(boxed(image, **box))) < 0.3


def broken(image, kind):
    """The image in a printed box of which little is left: 2 pixels thick, 3 from the edge."""
    whole = boxed(image)
    side = image.shape[0]
    row, column = np.mgrid[:side, :side]
    along = np.where((row < 6) | (row >= side - 6), column, row)
    if kind == "gaps":
        gone = np.isin(along // 4, [1, 6, 11])
    elif kind == "dashes":
        gone = along % 9 >= 6
    else:  # ticks at the corners
        gone = (along > 18) & (along < side - 18)
    return np.where(gone, image, whole)


@pytest.mark.parametrize("character", CHARACTERS)
@pytest.mark.parametrize("kind", ["gaps", "dashes", "ticks"])
def test_broken_lines_go(character, kind):
    image = draw(character, side=64, scale=1.3)
    assert difference(pixels(image), pixels(broken(image, kind))) < 0.3


@pytest.mark.parametrize("character", CHARACTERS)
@pytest.mark.parametrize("kind", ["ticks", "dashes", "comb"])
def test_what_is_left_of_a_dark_box_around_thin_writing_goes(character, kind):
    image = draw(character, side=72, ink=150, scale=0.8, thickness=1)
    whole = boxed(image, inset=5, ink=40, thickness=3)
    row, column = np.mgrid[:72, :72]
    along = np.where((row < 8) | (row >= 64), column, row)
    gone = {
        "ticks": (along > 22) & (along < 50),
        "dashes": along % 18 >= 10,
        "comb": row < 47,  # a line to write on, and short ones between the boxes
    }[kind]
    assert difference(pixels(image), pixels(np.where(gone, image, whole))) < 0.3


@pytest.mark.parametrize("side", range(4))
def test_a_light_stroke_is_followed_aslant_through_a_dark_line(side):
    image = np.full((80, 80), 210, np.uint8)
    cv2.polylines(image, [np.array([(16, 64), (40, 3), (64, 64)])], False, 150, 2)
    image = np.ascontiguousarray(np.rot90(image, side))
    assert difference(pixels(image), pixels(boxed(image, inset=12, ink=40))) < 0.5


def test_a_stem_apart_belongs_to_the_character():
    image = np.full((60, 60), 210, np.uint8)
    cv2.line(image, (18, 15), (18, 45), 60, 3)
    cv2.line(image, (18, 30), (31, 30), 60, 3)
    cv2.line(image, (41, 16), (41, 44), 60, 3)
    seen = pixels(image)
    assert seen[:, :8].max() > 200 and seen[:, 20:].max() > 200
    assert difference(seen, pixels(boxed(image))) < 0.3  # but the box's lines do not


def test_the_bar_of_a_5_apart_from_it_belongs_to_it():
    image = np.full((90, 80), 210, np.uint8)
    hook = np.array([(30, 40), (29, 54), (44, 52), (50, 62), (42, 72), (26, 72)])
    cv2.polylines(image, [hook], False, 60, 4)
    cv2.line(image, (32, 30), (58, 28), 60, 4)
    seen = pixels(image)
    assert seen[:5].max() > 200 and (seen[6:8].max(1) < 60).any()
    assert difference(seen, pixels(boxed(image))) < 0.3  # but the box's lines do not


def test_the_crumbs_of_a_dry_stroke_belong_to_the_character():
    paper = np.full((96, 96), 230, np.uint8)
    cv2.ellipse(paper, (48, 48), (24, 32), 0, 0, 360, 60, 2)
    crumbs = paper.copy()
    for y in range(14, 84, 5):  # the pen's right half runs dry: crumbs with gaps of two pixels
        crumbs[y : y + 2, 50:] = 230
    crumbs[20:24, 8:12] = 60  # dust lies further away
    assert difference(pixels(paper), pixels(crumbs)) < 0.35
    right = pixels(crumbs)[10:18, 18:]
    assert right.max() > 127


# Characters in two parts that do not touch: lines of (x, y), of which the last is a part by itself.
APART = {
    "D with a free stem": [[(40, 14), (62, 24), (64, 44), (40, 58)], [(24, 14), (24, 58)]],
    "D with a far stem": [[(52, 14), (70, 24), (72, 44), (52, 58)], [(20, 14), (20, 58)]],
    "an i's dot as long as its stem": [[(40, 44), (40, 66)], [(40, 14), (40, 28)]],
    "4 in two strokes": [[(26, 14), (22, 44), (40, 44)], [(58, 18), (56, 66)]],
    "5 in two strokes": [[(30, 38), (48, 40), (52, 56), (28, 66)], [(30, 16), (58, 14)]],
    "K in two parts": [[(22, 14), (22, 66)], [(64, 14), (44, 40), (66, 66)]],
    "a far arm of a K": [[(16, 14), (16, 66)], [(76, 18), (56, 40), (76, 62)]],
}


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("side", range(4))
@pytest.mark.parametrize("name", APART)
def test_no_part_of_a_character_is_left_out_in_silence(name, side, lines):
    def drawn(strokes):
        image = np.full((84, 90), 210, np.uint8)
        for stroke in strokes:
            cv2.polylines(image, [np.array(stroke)], False, 60, 3)
        image = np.ascontiguousarray(np.rot90(image, side))
        return boxed(image, inset=2) if lines else image

    box = normalise(drawn(APART[name]))
    whole = all(difference(box.pixels, pixels(drawn([part]))) > 0.25 for part in APART[name])
    assert not box.blank and (whole or box.message == "ink left out")


def test_print_dust_and_neighbours_leave_no_doubt():
    image = draw("5", side=72)
    for sides in ("tblr", "b", "lr", "tb"):
        assert normalise(boxed(image, sides=sides)).message == ""
    image[3:6, 10:60] = image[20:60, 68:] = image[40:42, 8:10] = 60
    assert normalise(image).message == ""


def test_neighbours_lines_go():
    image = draw("0", side=64, scale=1.3)
    doubled = boxed(boxed(image), inset=0, sides="lr", thickness=1)
    assert difference(pixels(image), pixels(doubled)) < 0.3


def written(points, shape, ink=90, thickness=8):
    """A stroke through the points, (x, y) each, on a sheet of (height, width) `shape`."""
    image = np.full(shape, 205, np.uint8)
    cv2.polylines(image, [np.array(points)], False, ink, thickness)
    return image


def cut_within_its_box(image):
    """The image with printed lines 5 pixels thick at its sides, less where the cut went through."""
    image = image.copy()
    image[:1] = image[-3:] = image[:, 1:6] = image[:, -4:] = 85
    return image


def test_lines_of_which_some_are_cut_go_in_their_whole_thickness():
    ends_in_line = (10, 30), (22, 18), (34, 20), (34, 30), (22, 44), (13, 48), (30, 47), (52, 51)
    image = written(ends_in_line, (69, 60))
    assert difference(pixels(image), pixels(cut_within_its_box(image))) < 0.3


def test_thick_lines_around_a_slashed_zero_do_not_turn_the_polarity():
    image = written([(24, 46), (38, 24)], (70, 59), thickness=7)
    cv2.ellipse(image, (31, 36), (11, 17), 8, 0, 360, 90, 10)
    framed = cut_within_its_box(image[::-1])[::-1]
    assert difference(pixels(image), pixels(framed)) < 0.1
    assert difference(pixels(image), pixels(255 - framed)) < 0.1


@pytest.mark.parametrize("character", "LEZ")
def test_stroke_on_a_line_stays(character):
    image = draw(character, side=64, scale=1.3, thickness=4)
    foot = np.flatnonzero((image < 100).any(1))[-1]
    lowered = np.roll(image, 60 - foot, 0)  # its foot lies on the line, which is thinner
    assert difference(pixels(image), pixels(boxed(lowered))) < 0.4


@pytest.mark.parametrize("character", "0247ACKMNXZ")
@pytest.mark.parametrize("side", range(4))
def test_a_small_character_may_touch_its_box(character, side):
    ink = draw(character)
    rows, columns = (np.flatnonzero((ink < 150).any(axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    ink = cv2.resize(ink, (42, 24) if side % 2 == 0 else (24, 42), interpolation=cv2.INTER_AREA)
    image = np.full((90, 90), 210, np.uint8)
    # The lines are 3 pixels thick and begin with the second one from the edge.
    top, left = [(33, 4), (4, 33), (33, 86 - 42), (86 - 42, 33)][side]
    image[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    assert difference(pixels(image), pixels(boxed(image, inset=2, thickness=3))) < 0.4


@pytest.mark.parametrize("character", STRAIGHT)
def test_straight_strokes_are_not_lines(character):
    tight = draw(character, side=42)
    roomy = draw(character, side=64)
    assert difference(pixels(roomy), pixels(tight)) < 0.3


def test_frame_does_not_turn_the_polarity():
    image = draw("8", side=44, scale=1.2)
    for thickness in (1, 2, 4, 6):
        frame = image.copy()
        frame[:thickness] = frame[-thickness:] = 60
        frame[:, :thickness] = frame[:, -thickness:] = 60
        assert difference(pixels(image), pixels(frame)) < 0.3


def paper(seed, height=60, width=50, noise=4):
    light = np.linspace(180, 220, width) + np.zeros((height, 1))
    return (light + np.random.default_rng(seed).normal(0, noise, light.shape)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_written(seed):
    sheet = paper(seed)
    dusty = sheet.copy()
    dusty[20:22, 30:32] = 60
    for image in (
        np.full((40, 40), 200, np.uint8),
        sheet,
        dusty,
        boxed(sheet),
        boxed(sheet, sides="b", slope=0.02),
        boxed(sheet, sides="lr", inset=0),
        boxed(dusty, inset=2),
    ):
        box = normalise(image)
        assert box.blank and box.message == "no ink" and not box.pixels.any()


@pytest.mark.parametrize("seed", range(5))
def test_stained_paper_is_blank(seed):
    stains = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (60, 50)), (0, 0), 3)
    sheet = (paper(seed, noise=3) + 8 * stains / stains.std()).clip(0, 255).astype(np.uint8)
    assert normalise(boxed(sheet)).blank


@pytest.mark.parametrize("character", CHARACTERS)
def test_faint_pencil_is_not_blank(character):
    grain = np.random.default_rng(0).normal(0, 6, (64, 64))
    faint = draw(character, side=64, paper=200, ink=165) + grain
    assert not normalise(faint.clip(0, 255).astype(np.uint8)).blank


def test_blot():
    image = np.full((60, 60), 210, np.uint8)
    cv2.rectangle(image, (15, 12), (45, 48), 50, -1)
    cv2.circle(image, (45, 30), 12, 50, -1)
    assert normalise(image).message == "blot"


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (12, 12), (3, 400), (400, 3), (2000, 1500)])
@pytest.mark.parametrize("filling", ["zeros", "white", "noise", "half"])
def test_any_shape_ends_in_a_box(shape, filling):
    half = np.zeros(shape, np.uint8)
    half[shape[0] // 2 :] = 255
    image = {
        "zeros": np.zeros(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8),
        "half": half,
    }[filling]
    box = normalise(image)
    assert box.pixels.shape == (SIDE, SIDE) and box.blank == (not box.pixels.any())


def test_rejects_what_is_not_a_grey_image():
    for wrong in (np.zeros((5, 5, 3), np.uint8), np.zeros((5, 5)), np.zeros((0, 5), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            normalise(wrong)


def test_batch_is_one_by_one():
    images = np.stack([draw(character, side=SIDE, scale=0.7) for character in CHARACTERS])
    expected = np.stack([pixels(image) for image in images])
    assert np.array_equal(normalise_batch(images), expected)
    assert np.array_equal(normalise_batch(images, processes=2), expected)
    assert normalise_batch(images[:0]).shape == (0, SIDE, SIDE)


def test_steps_end_with_what_the_network_sees():
    image = boxed(draw("R"))
    names, images = zip(*steps(image), strict=True)
    assert names == ("input", "ink", "lines removed", "final")
    assert np.array_equal(images[-1], pixels(image))
    assert all(step.dtype == np.uint8 and step.ndim == 2 for step in images)


def test_ink_is_found_in_every_box_that_a_writer_has_filled():
    # Among them a P whose bowl has ink along all of its rectangle, in a box without its left line.
    messages = [
        normalise(box).message
        for card in draw_cards(24)
        for number, box in enumerate(card.boxes, 1)
        if not card.flaw.startswith(f"box {number} ")
    ]
    assert len(messages) == 24 * 17 - 9 and not any(messages)


def test_images_together_are_what_each_is_by_itself():
    """Of one size or of many, blank, boxed, faint, light on dark and unevenly lit among them."""
    images = [boxed(draw(c), sides="tblr"[: 1 + n % 4]) for n, c in enumerate(CHARACTERS)]
    images += [draw(c) for c in CHARACTERS] + [255 - draw(c, paper=200) for c in CHARACTERS]
    images += [draw("A", ink=190), draw("B", side=200, scale=5), np.full((56, 56), 200, np.uint8)]
    shadow = np.linspace(0, 90, 56).astype(np.uint8)
    images += [draw(c) - np.minimum(draw(c), shadow) for c in "AKX7"]
    images += [
        np.ascontiguousarray(draw(c)[:, :rest])
        for c, rest in zip("LKEX", (1, 2, 40, 41), strict=True)
    ]
    images += [box for card in draw_cards(2) for box in card.boxes]
    before = [image.copy() for image in images]
    for image, box in zip(images, normalise_all(images), strict=True):
        alone = normalise(image)
        assert np.array_equal(box.pixels, alone.pixels)
        assert (box.blank, box.message) == (alone.blank, alone.message)
    assert all(map(np.array_equal, images, before))  # they are left alone

"""Simulated cards: vehicle numbers as they are on the road, written with single test characters.

What whole cards are worth is measured on these: every box shows a test character by another
writer, read by the network, and all 17 readings are decoded into one number.
"""

import numpy as np

from vinreader import vin
from vinreader.spec import CHARACTERS, DIGITS, INDEX
from vintraining.scores import review_threshold

LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"

# Maker codes common in North America.
# fmt: off
AMERICAN_MAKERS = (
    "1B3", "1B7", "1C3", "1C4", "1C6", "1D7", "1FA", "1FM", "1FT", "1G1", "1G6", "1GC",
    "1GK", "1GN", "1HD", "1HG", "1J4", "1J8", "1N4", "1N6", "1NX", "1VW", "1ZV", "2C3",
    "2C4", "2D4", "2FA", "2FM", "2G1", "2G4", "2HG", "2HK", "2T1", "2T3", "3C4", "3D7",
    "3FA", "3FM", "3G1", "3GN", "3HG", "3N1", "3VW", "4A3", "4F2", "4M2", "4S3", "4S4",
    "4T1", "4T3", "4US", "5FN", "5J6", "5N1", "5NP", "5TD", "5TF", "5UX", "5XY", "5YJ",
)
# fmt: on
UNLISTED = 0.1  # share of numbers with a random maker code: trailers, small makers

# European and former-USSR numbers. One sign a position: # digit, @ letter, * either, Y model
# year; every other character stands for itself. A maker's shapes follow how
# its numbers look on the road: Volkswagen's Z fillers, the 0 at BMW's and Fiat's position 10,
# Ford's year and month at 11 and 12, eight serial digits in France and Italy.
EUROPEAN_SHAPES = (
    (6, "XTA", "2####0Y#######"),
    (3, "XTA XTT XTH XTC XTK", "######Y#######"),
    (2, "X7L X9F XWB XW8 X4X Z94", "@@@@*#@@@#####"),
    (6, "WVW WAU WV1 WV2 VSS TMB TRU WP0", "ZZZ**ZY@######"),
    (2, "TMB VSS", "@@#*@#Y@######"),
    (4, "WBA WBS", "@@###@0@*#####"),
    (4, "WDB WDC WDD", "######1@######"),
    (4, "W0L", "0@@@##Y#######"),
    (4, "WF0", "@XX@@@@*@#####"),
    (3, "VF1", "@@@@*#########"),
    (3, "VF3 VF7", "#@@@@*########"),
    (3, "ZFA ZAR ZCF", "######0#######"),
    (2, "YV1 YS3", "@@##*#Y#######"),
    (2, "SAJ SAL SB1 SHH", "@@@@*#Y@######"),
    (2, "JT1 JMB JN1 KMH KNE", "@@*#@#0@######"),
)


def random_vins(n, kind="north_america", seed=0):
    """`n` different numbers of 17 characters as they could be on the road.

    kind: "north_america": maker code of North America, a model year in position 10 and a check
    digit that holds. "europe": makers of Europe, the former USSR and East Asia, without check
    digit (it holds by chance only). A tenth have a random maker code in either kind.
    Raises ValueError for another kind.
    """
    if kind not in ("north_america", "europe"):
        raise ValueError(f"kind must be 'north_america' or 'europe', not {kind!r}")
    make = _american if kind == "north_america" else _european
    rng = np.random.default_rng(seed)
    numbers: dict[str, None] = {}
    while len(numbers) < n:
        numbers[make(rng)] = None
    return list(numbers)


def _one(rng, characters):
    return characters[rng.integers(len(characters))]


def _american(rng):
    maker = _one(rng, AMERICAN_MAKERS)
    if rng.random() < UNLISTED:
        maker = _one(rng, "12345") + _one(rng, CHARACTERS) + _one(rng, CHARACTERS)
    kinds = [_one(rng, (LETTERS, DIGITS)) for _ in range(5)]
    year = rng.integers(1981, 2026)
    kinds[3] = LETTERS if year >= 2010 else DIGITS
    number = maker + "".join(_one(rng, kind) for kind in kinds)
    number += "0" + vin.MODEL_YEARS[(year - 1980) % 30]
    number += _one(rng, LETTERS if rng.random() < 0.8 else DIGITS)
    for letters in (0.2, 0.02, 0, 0, 0, 0):
        number += _one(rng, LETTERS if rng.random() < letters else DIGITS)
    return number[:8] + vin.check_digit(number) + number[9:]


def _european(rng):
    shares = np.array([share for share, _, _ in EUROPEAN_SHAPES], dtype=float)
    _, makers, shape = EUROPEAN_SHAPES[rng.choice(len(shares), p=shares / shares.sum())]
    maker = _one(rng, makers.split())
    if rng.random() < UNLISTED:
        maker = _one(rng, "STUVWXYZ") + _one(rng, CHARACTERS) + _one(rng, CHARACTERS)
        shape = "******" + "**@*####"
    signs = {"#": DIGITS, "@": LETTERS, "*": CHARACTERS, "Y": vin.MODEL_YEARS}
    return maker + "".join(_one(rng, signs.get(sign, sign)) for sign in shape)


def evaluate_cards(log_probs, labels, vins, seed=0, rules="auto"):
    """How well whole cards are read.

    Args:
        log_probs: (M, 33) float, the reader's log probabilities of M test characters.
        labels: (M,) int, their classes; every class in `vins` must occur.
        vins: the numbers to write; a box shows a random test character of its class.
        seed: of that choice.

    Returns a dict of floats, shares from 0 to 1: `raw_exact_match` and `decoded_exact_match`
    (whole numbers right, before and after the rules), `coverage_at_half_percent_error` (the
    largest share of cards that a threshold on the confidence accepts with at most 0.5 % of the
    accepted ones wrong), `threshold_at_half_percent_error` (that threshold, above 1 if none does),
    `right_made_wrong` (right as read, wrong after the rules), `mean_confidence` (equals
    `decoded_exact_match` where the confidence is calibrated), and the count `cards`.
    """
    rng = np.random.default_rng(seed)
    members = {c: np.flatnonzero(labels == INDEX[c]) for c in set("".join(vins))}
    chosen = np.array([[_one(rng, members[c]) for c in number] for number in vins])
    decodings = vin.decode_batch(np.asarray(log_probs)[chosen], rules)
    raw_right = np.array([d.raw == number for d, number in zip(decodings, vins, strict=True)])
    right = np.array([d.vin == number for d, number in zip(decodings, vins, strict=True)])
    confidence = np.array([d.confidence for d in decodings])
    threshold, coverage = review_threshold(
        confidence, ~right, np.full(len(vins), 1 / len(vins)), 0.005
    )
    return {
        "cards": len(vins),
        "raw_exact_match": float(raw_right.mean()),
        "decoded_exact_match": float(right.mean()),
        "coverage_at_half_percent_error": coverage,
        "threshold_at_half_percent_error": threshold,
        "right_made_wrong": float((raw_right & ~right).mean()),
        "mean_confidence": float(confidence.mean()),
    }

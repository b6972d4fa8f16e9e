"""What statistics of numbers cannot know: names, what position 10 means, old makers."""

# Corrections of vininfo's names, and makers of the former USSR that it does not list.
NAMES = {"Y6D": "ZAZ", "X96": "GAZ"}
# Makers that put the model-year code in position 10 although no law asks them to.
MODEL_YEAR_MAKERS = (
    "WVW", "WVG", "WV1", "WV2", "WV3", "WAU", "WUA", "TRU", "VSS", "TMB", "WP0", "WP1", "W0L",
    "YV1", "YS3", "XTA", "KMH", "KNA", "KNE",
)  # fmt: skip

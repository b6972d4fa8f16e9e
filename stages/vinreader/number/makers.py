"""What statistics of numbers cannot know: names, what position 10 means, old makers."""

# Corrections of vininfo's names (it has Y6D as Opel and X96 as Mercedes-Benz), and makers of the
# former USSR that it does not list. Sources: the tables of makers' codes in the articles on these
# numbers in the English and in the Russian Wikipedia, as the repository lastharbor/Car_Genome holds
# them (tools/wmi_wikipedia.json, wmi_supplement.json); the list of the Clojure library vehiclj.
# Each code stands in at least two of them, but XTK and those of KrAZ only in the Russian Wikipedia.
NAMES = {
    "X1C": "KrAZ",
    "X1M": "PAZ",
    "X96": "GAZ",
    "XTB": "AZLK",
    "XTC": "KamAZ",
    "XTE": "ZAZ",
    "XTH": "GAZ",
    "XTK": "IZh",
    "XTT": "UAZ",
    "Y6D": "ZAZ",
    "Y7A": "KrAZ",
}
# Their models, as positions 4 to 9 begin with them, filled up with zeros: that is the form of
# manuals (XTA210830: automn.ru/vaz-2108; XTA210930: ilargo.ru, "1.5"). Adverts of today hardly show
# these cars; papers of an archive do. Which models there were is common knowledge, not looked up.
# How KrAZ numbers its models is not known here: its codes are only named.
OLD_MODELS = {
    "X1M": "3205",
    "X96": "2217 2705 2752 3102 3110 31105 3221 3302 33023",
    "XTA": "1111 2101 2102 2103 2104 2105 2106 2107 2108 2109 21099 2110 2111 2112 2113 2114 2115 "
    "21011 21013 21061 21063 2121 21213 21214",
    "XTB": "2140 2141 21412",
    "XTC": "4310 5320 5321 5410 5511 6520",
    "XTE": "1102",
    "XTH": "2410 2705 2752 3102 31029 3110 31105 3221 3302 33021",
    "XTK": "2125 2126 2715 2717",
    "XTT": "2206 3151 31512 31514 31519 3163 3303 3741 3962",
    "Y6D": "1102 11024 1103 1105",
}
# Makers that put the model-year code in position 10 although no law asks them to.
MODEL_YEAR_MAKERS = (
    *("WVW", "WVG", "WV1", "WV2", "WV3", "WAU", "WUA", "TRU", "VSS", "TMB", "WP0", "WP1"),
    *("W0L", "YV1", "YS3", "XTA", "KMH", "KNA", "KNE"),
)

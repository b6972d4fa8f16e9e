"""What statistics of numbers cannot know: names, old makers, habits of a time. Read when the
statistics are loaded: a line added here holds for the next card."""

# Codes that vininfo lacks, or names wrongly (Y6D as Opel, X96 as Mercedes-Benz, KMH as Genesis; its
# names for the first two characters of an American code are those of another maker). Sources: the
# tables of makers' codes in the English and the Russian Wikipedia, as the repository
# lastharbor/Car_Genome holds them (tools/wmi_wikipedia.json, wmi_supplement.json), and there
# NHTSA's list (vpic_wmi_cache.json); the list of the Clojure library vehiclj. XTK and the codes of
# KrAZ and LuAZ stand only in the Russian Wikipedia. Z8U, Y7W and 3AL are common knowledge, not
# looked up. JMB and JMY are Mitsubishi's numbers for export, JMZ and JM1 to JM7 Mazda's.
_MAKERS = {
    "Acura": "19U 19V 2HH 2HN 5J8",
    "Avtotor": "X4X XUU XWE XWF",
    "AvtoVAZ": "X98 XTA",
    "AZLK": "XTB",
    "BelAZ": "Y3B",
    "Blue Bird": "1BA 1BB 1BD",
    "BMW": "3MW 4US 5UX",
    "Bogdan": "Y6L Y6J Y7B",
    "Chevrolet": "1GB 1GC 1GN 1G1 2G1 2GN 3G1 3GN",
    "Chrysler": "1A4 1A8 1C3 1C4 1C8 2A4 2A8 2C3 2C4 2C8 3A4 3C3 3C4",
    "Citroen": "VR7",
    "Dodge": "1B3 1B4 1B7 1D3 1D4 1D7 1D8 2B3 2B4 2B7 2D4 2D8 3B7 3D4 3D6 3D7",
    "DS": "VR1",
    "Ford": "1FA 1FB 1FC 1FD 1FM 1FT 1ZV 2FA 2FM 2FT 3FA 3FM 3FR NM0 X9F Z6F",
    "Freightliner": "1FU 1FV 2FU 2FV 3AK 3AL",
    "GAZ": "X78 X96 XTH",
    "GM-AvtoVAZ": "X9L",
    "GMC": "1GD 1GK 1GT 2GK 2GT 3GK 3GT",
    "GolAZ": "XTF",
    "Great Dane": "1GR",
    "Great Wall": "Y7C",
    "Harley-Davidson": "1HD 5HD",
    "Honda": "19X 1HG 2HG 2HJ 2HK 3CZ 3HG 5FN 5FP 5J6 JH2 JHL",
    "Hyundai": "5NM 5NP KM8 KMF KMH KMJ KMX Z94",
    "Infiniti": "3PC JNK JNR JNX",
    "International": "1HS 1HT 2HS 2HT 3HA 3HC 3HS 3HT 4DR",
    "IZh": "XTK XWK",
    "Jeep": "1J4 1J8 1JC",
    "KamAZ": "XTC",
    "KAvZ": "X1E",
    "Kenworth": "1NK 1XK 2NK 2XK 3NK 3WK",
    "Kia": "3KP 5XX 5XY KNA KND KNE",
    "KrAZ": "X1C Y7A",
    "LAZ": "XTW Y8A",
    "LiAZ": "XTY",
    "Lincoln": "1LN 2LM 3LN 5LM",
    "LuAZ": "XTD",
    "Mack": "1M1 1M2 2M1 2M2",
    "MAZ": "XTM Y3M",
    "Mazda": "1YV 3MV 3MY 3MZ 4F2 JM1 JM3 JM7 JMZ",
    "Mazda Toyota": "7MM 7MU",
    "Mercedes-Benz": "4JG 55S W1K W1N W1V W1Y",
    "Mercury": "1ME 2ME 3ME 4M2",
    "Mitsubishi": "4A3 4A4 JMB JMY",
    "Motor Coach Industries": "1M8 2MG",
    "NefAZ": "X1F",
    "Nissan": "1N4 1N6 3N1 3N6 3N8 5N1 JN1 JN8 Z8N",
    "Opel": "VXK",
    "PAZ": "X1M",
    "Peterbilt": "1NP 1XP 2NP 2XP 3BP",
    "Peugeot": "VR3",
    "Polestar": "YSM",
    "PSMA Rus": "Z8T",
    "RAF": "X1D",
    "Renault": "X7L",
    "Rivian": "7FC 7PD",
    "Sollers": "XU3 Z7G Z88",
    "Sollers Far East": "Z8U",
    "Škoda": "Y6U",
    "Subaru": "4S3 4S4",
    "TagAZ": "X0C X7M",
    "Tesla": "5YJ 7G2 7SA XP7",
    "Toyota": "2T1 2T3 4T1 4T3 5TD 5TF 5YF JT1 JTB JTP XW7",
    "Trolza": "XTU",
    "UAZ": "XTT XU1",
    "Ural": "X1P",
    "UzDaewoo": "XWB",
    "Volkswagen": "1VW 3VW XW8",
    "Volvo Trucks": "4V4 4V5 4VG YB3 YV2 YV5",
    "Wabash": "1JJ",
    "ZAZ": "XTE Y6D Y9Z",
    "ZIL": "XTZ",
}
NAMES = {code: maker for maker, codes in _MAKERS.items() for code in codes.split()}
# Makers whose first two characters are no other maker's, where the third is not listed.
FAMILIES = (
    *("JF", "JH", "JM", "JN", "JS", "JT", "JY", "KL", "KM", "KN", "KP"),
    *("UU", "W1", "WB", "WV"),
)
# Passenger cars and multipurpose passenger vehicles of at most 4,536 kg (NHTSA's list names their
# vehicleType; most were not looked up one by one): only theirs must have a letter at position 7
# from model year 2010 on, and a digit before (49 CFR 565.15). Codes of trucks are not among them.
_LIGHT = (
    "19U 19V 19X 1A4 1A8 1B3 1B4 1C3 1C4 1C8 1D4 1D8 1FA 1FM 1G1 1G2 1G3 1G4 1G6 1G8 1GK 1GN 1GY "
    "1HG 1J4 1J8 1LN 1ME 1N4 1NX 1P3 1P4 1VW 1YV 1ZV 2A4 2A8 2B3 2B4 2C3 2C4 2C8 2CN 2CT 2D4 2D8 "
    "2FA 2FM 2G1 2G2 2G4 2GK 2GN 2HG 2HH 2HJ 2HK 2HN 2LM 2LN 2ME 2T1 2T2 2T3 3A4 3C3 3C4 3CZ 3D4 "
    "3FA 3FM 3G1 3GK 3GN 3GY 3HG 3KP 3LN 3ME 3MV 3MW 3MY 3MZ 3N1 3N8 3PC 3VW 4A3 4A4 4F2 4JG 4M2 "
    "4S3 4S4 4T1 4T3 4US 55S 5FN 5J6 5J8 5LM 5N1 5NM 5NP 5TD 5UX 5XX 5XY 5YF 5YJ 7MM 7MU 7SA"
)
LIGHT = frozenset(_LIGHT.split())
# Models of old makers, as positions 4 to 9 begin with them, filled up with zeros: that is the form
# of manuals (XTA210830: automn.ru/vaz-2108; XTA210930: ilargo.ru, "1.5"). Adverts of today hardly
# show these cars; papers of an archive do. Which models there were is common knowledge, not looked
# up. How KrAZ numbers its models is not known here: its codes are only named.
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
# Habits with the check digit: after these characters, in these model years, this share of the
# numbers has it at position 9. Audi's European numbers have Z there until 2001 (found in a list of
# older cars: 28 of 33) and the check digit from 2002 on (418 of 425 numbers of adverts).
CHECK_HABITS = (
    ("WAUZZZ", 1980, 2001, 0.02),
    ("WAUZZZ", 2002, 2039, 0.98),
)
# Makers that put the model-year code in position 10 although no law asks them to.
MODEL_YEAR_MAKERS = (
    *("WVW", "WVG", "WV1", "WV2", "WV3", "WAU", "WUA", "TRU", "VSS", "TMB", "WP0", "WP1"),
    *("W0L", "YV1", "YS3", "XTA", "KMH", "KNA", "KNE"),
)

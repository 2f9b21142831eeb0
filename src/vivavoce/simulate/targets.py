"""What each phoneme asks of jaw, lips and tongue tip, and how much it insists on it.

Targets are millimetres for an average adult; the number after ``@`` is the dominance (0 to 1): how strongly the
phoneme pulls an articulator towards its target when it competes with its neighbours (Cohen & Massaro 1993, "Modeling
coarticulation in synthetic visual speech"). An articulator that a phoneme leaves free has a dominance near zero and
is carried by the neighbours, as in articulatory phonology (Browman & Goldstein 1992, Phonetica 49), where a phoneme
specifies only the tract variables of its own gestures.

What is ordered here is taken from: lip opening, spreading and protrusion of vowels: Fromkin 1964 (Language and Speech
7), Linker 1982 (UCLA WPP 56); jaw height of vowels and consonants, with sibilants highest: Keating et al. 1994
(J. Phonetics 22); bilabial closure as a virtual target beyond contact: Löfqvist & Gracco 1997 (JSLHR 40:877);
the articulators themselves (jaw, lip height, lip protrusion, tongue tip): Maeda 1990. The common scale in millimetres
is set so that the kinematics of DESIGN §5 come out (benchmarks/simulator_realism.py).
"""

import numpy as np

from vivavoce.simulate.phonemes import DIPHTHONGS, PHONEMES

# jaw: opening below clenched teeth. aperture: opening between the lips, negative = pressed. protrusion: forward.
# spread: each corner outward. tip_height: above the lower teeth's edge. tip_front: towards the teeth.
CHANNELS = ("jaw", "aperture", "protrusion", "spread", "tip_height", "tip_front")

_TABLE = """
SIL    1.2@.15   2.0@.20   0.0@.12   0.0@.12   1.2@.10   0.0@.10
IY     2.1@.50   6.5@.60   0.0@.40   4.0@.60   1.2@.35   2.4@.40
IH     3.0@.45   8.0@.55   0.0@.30   2.0@.40   0.6@.30   1.2@.30
EH     4.2@.55  11.0@.60   0.0@.30   2.0@.40  -0.6@.35   0.6@.30
AE     6.0@.65  13.5@.70   0.0@.30   3.0@.50  -2.4@.40   1.2@.30
AA     6.9@.70  15.0@.70   0.0@.35   0.0@.35  -4.8@.40  -4.8@.40
AO     5.4@.60  11.0@.60   3.5@.55  -2.5@.50  -4.8@.40  -6.0@.40
AH     4.5@.45  10.5@.50   0.0@.25   0.0@.25  -1.8@.30  -1.2@.25
ER     3.0@.45   7.5@.50   3.0@.50  -1.5@.40   2.4@.40  -6.0@.45
UH     3.0@.45   6.5@.50   3.0@.50  -2.0@.45  -2.4@.30  -3.6@.30
UW     2.1@.50   4.0@.65   5.5@.75  -4.5@.70  -2.4@.30  -4.8@.35
P      1.8@.40  -4.6@1.0   0.0@.20   0.0@.15   0.0@.05   0.0@.05
B      1.8@.40  -4.3@1.0   0.0@.20   0.0@.15   0.0@.05   0.0@.05
M      2.1@.40  -4.0@1.0   0.0@.20   0.0@.15   0.0@.05   0.0@.05
F      1.5@.50   1.5@.90  -1.5@.50   1.0@.30   0.0@.10   0.0@.10
V      1.5@.50   1.5@.90  -1.5@.50   1.0@.30   0.0@.10   0.0@.10
W      2.4@.35   2.0@.90   6.0@.85  -5.0@.80  -2.4@.30  -4.8@.30
R      2.4@.40   5.5@.50   4.0@.60  -2.0@.45   6.0@.60  -4.8@.60
SH     0.6@.80   5.0@.45   4.5@.70  -1.5@.45   8.4@.80  -1.2@.70
ZH     0.6@.80   5.0@.45   4.5@.70  -1.5@.45   8.4@.80  -1.2@.70
CH     0.6@.80   4.5@.45   4.5@.70  -1.5@.45  10.8@.90   0.0@.70
JH     0.6@.80   4.5@.45   4.5@.70  -1.5@.45  10.8@.90   0.0@.70
S      0.3@.90   4.0@.45   0.0@.25   2.0@.35   9.6@.90   3.6@.80
Z      0.3@.90   4.0@.45   0.0@.25   2.0@.35   9.6@.90   3.6@.80
T      1.2@.65   4.0@.40   0.0@.12   0.5@.12  12.0@1.0   2.4@.80
D      1.5@.60   4.5@.40   0.0@.12   0.5@.12  12.0@1.0   2.4@.80
N      1.8@.50   5.0@.40   0.0@.12   0.5@.12  12.0@1.0   2.4@.80
L      3.0@.40   6.0@.35   0.0@.12   0.5@.12  12.0@.90   3.6@.70
TH     1.8@.50   4.5@.40   0.0@.20   1.0@.20   4.8@.90   9.6@.90
DH     1.8@.50   5.0@.35   0.0@.20   1.0@.20   4.8@.80   8.4@.80
K      2.7@.30   4.5@.35   0.0@.08   0.0@.08  -3.6@.25  -4.8@.30
G      2.7@.30   4.5@.35   0.0@.08   0.0@.08  -3.6@.25  -4.8@.30
NG     2.7@.30   5.0@.30   0.0@.08   0.0@.08  -3.6@.25  -4.8@.30
HH     3.6@.08   8.0@.08   0.0@.05   0.0@.05   0.0@.05   0.0@.05
Y      1.8@.50   6.0@.55   0.0@.30   3.5@.50   1.8@.35   2.4@.40
"""


def _read_table() -> tuple[np.ndarray, np.ndarray]:
    rows = {}
    for line in _TABLE.split("\n"):
        if line.strip():
            name, *cells = line.split()
            rows[name] = np.array([[float(part) for part in cell.split("@")] for cell in cells])
    # A diphthong never reaches the mouth whole (articulation.py splits it); its row keeps the index complete.
    full = np.stack([rows[DIPHTHONGS.get(name, (name,))[0]] for name in PHONEMES])
    return full[:, :, 0], full[:, :, 1]


# (phonemes, channels): millimetres, and dominance in 0..1, in the order of PHONEMES and CHANNELS.
TARGETS_MM, DOMINANCE = _read_table()
PHONEME_INDEX = {name: i for i, name in enumerate(PHONEMES)}

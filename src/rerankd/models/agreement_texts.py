"""Texts that a precision is compared with fp32 on: each query with every document.

Five topics of five documents. For a query those of its own topic are good answers, near misses and
passing mentions; the rest is of other topics. Sentences, headings and paragraphs, as in practice.
"""

from __future__ import annotations

from typing import Final

# Short, so that they fit the smallest window.
QUERIES: Final = (
    "how long do worker bees live",
    "rotate api keys without downtime",
    "why did the bridge collapse",
    "symptoms of iron deficiency",
    "can a tenant end a lease early",
)

DOCUMENTS: Final = (
    (
        "In summer a worker bee lives five to seven weeks: she cleans cells, feeds larvae, builds"
        " comb, guards the entrance and, in her last weeks, forages for nectar and pollen. Bees "
        "that hatch in autumn live until spring, as they raise no brood. A queen may live three "
        "to five years."
    ),
    "Worker bees do all the work of the hive except laying eggs.",
    "Drones are male bees. They do not forage, and most are driven out of the hive before winter.",
    "Bumblebee colonies are annual: only the young queens survive the winter, in the soil.",
    "Honey keeps for years in a closed jar. If it crystallises, warm it gently in a water bath.",
    (
        "To replace a key while clients keep working, create the new key first and let both be "
        "valid. Move every client to the new key, watch in the logs that the old one is no longer"
        " used, and only then revoke it. Store keys outside of the code, in the environment or a "
        "secret manager."
    ),
    "API keys can be rotated on the settings page.",
    "An expired key is answered with status 401 and a body that names the time of expiry.",
    "Rolling updates replace one instance after the other, so that requests are always answered.",
    "Keyboard shortcuts\n\nCtrl+K opens the search, Ctrl+S saves the draft, Esc closes the panel.",
    (
        "The bridge was slender and stiffened by shallow plate girders. In a steady wind of 64 "
        "km/h the deck began to twist; the air that flowed past it fed energy into the torsion at"
        " every cycle, an aeroelastic flutter, until the suspenders failed and the main span fell"
        " into the strait."
    ),
    "Engineers call it flutter: motion of the deck and the force of the wind amplify each other.",
    "After the collapse, models of new bridges were tested in wind tunnels as a rule.",
    (
        "A suspension bridge hangs its deck from cables that run over towers to anchors on both "
        "banks."
    ),
    "The bridge is closed to lorries in strong wind. Toll: 4.50 per car, motorcycles free.",
    (
        "Tiredness, pale skin, shortness of breath on effort, headaches and cold hands are common"
        " when adults lack iron; brittle nails, hair loss and a wish to chew ice occur too. A "
        "blood test of ferritin and haemoglobin shows it. Heavy periods and bleeding in the gut "
        "are frequent causes."
    ),
    "Iron deficiency makes people tired and pale.",
    "Infants born early are given iron drops from the second month on.",
    "Red meat, lentils, beans and spinach contain iron; vitamin C helps the body to take it up.",
    "Wrought iron was made in bloomeries long before furnaces were hot enough to melt it.",
    (
        "A lease for a fixed term binds both sides until it ends. A tenant may leave earlier if "
        "the contract has a break clause, if the landlord agrees to a surrender, or if someone "
        "suitable takes over the lease; otherwise rent is due until the flat is let again. Give "
        "written notice."
    ),
    "Yes, with the landlord's consent or under a break clause.",
    (
        "The deposit is returned within thirty days of the end of the tenancy, less the cost of "
        "damage."
    ),
    "The landlord must announce a rent increase in writing three months before it takes effect.",
    "Term dates: lectures begin on 6 October and end on 5 February; the library is open daily.",
)

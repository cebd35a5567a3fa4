"""The words that the demo sentences are made of; `{slot}` in a template takes a phrase or a number."""

from collections.abc import Mapping

PHRASES: Mapping[str, tuple[str, ...]] = {
    "ort": (
        "Köln", "München", "Düsseldorf", "Nürnberg", "Zürich", "Lübeck", "Göttingen", "Tübingen", "Würzburg",
        "Saarbrücken", "Hamburg", "Leipzig", "Dresden", "Wien", "Graz", "Salzburg", "Gießen", "Meißen", "Görlitz",
        "Osnabrück", "Fürth", "Mönchengladbach", "Bremen", "Rostock", "Weißenfels", "Jena", "Kassel", "Aachen",
    ),
    "person": (
        "Frau Müller", "Herr Größer", "Frau Schäfer", "Herr Weiß", "meine Schwester", "mein Großvater", "unsere Ärztin",
        "der Bürgermeister", "die Köchin", "mein Bruder Jürgen", "Frau Özdemir", "Herr Kühn", "die Schülerin Käthe",
        "der Gärtner", "unsere Nachbarin", "der Fährmann", "Tante Rösli", "Onkel Götz", "die Verkäuferin", "Sören",
    ),
    "freundin": ("Frau Müller", "deine Schwester", "unsere Ärztin", "Käthe und Jürgen", "Tante Rösli", "die Köchin"),
    "strasse": (
        "Bahnhofstraße", "Schlossallee", "Mühlenstraße", "Goethestraße", "Königsallee", "Lindenstraße", "Fährgasse",
        "Großen Bleiche", "Weißen Gasse", "Brückenstraße", "Gärtnerstraße", "Ringstraße", "Nordstraße", "Höhenstraße",
    ),
    "monat": (
        "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
        "Dezember",
    ),
    "tag": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
    "zeit": (
        "heute früh", "morgen Abend", "gegen Mittag", "nächste Woche", "später", "übermorgen", "in zwei Stunden",
        "vor dem Frühstück", "nach dem Mittagessen", "am späten Nachmittag", "jetzt gleich", "im Frühling",
    ),
    "ding": (
        "den Schlüssel", "die Tüte", "das Gemüse", "den großen Koffer", "die Gießkanne", "das Wörterbuch", "die Bücher",
        "den Füller", "die Brötchen", "das Fahrrad", "die Süßigkeiten", "den Käse", "die Zeitung", "das Geschäft",
        "den Hörer", "die Maßbänder", "das Päckchen", "die Kartoffeln", "den Regenschirm", "die Strümpfe",
    ),
    "wetter": (
        "sonnig und heiß", "regnerisch und kühl", "neblig", "stürmisch", "überwiegend bewölkt", "ungewöhnlich mild",
        "frostig", "schwül", "klar und windstill", "wechselhaft mit einzelnen Böen",
    ),
    "gericht": (
        "Spätzle mit Soße", "Grünkohl", "Rührei mit Kräutern", "Apfelstrudel", "Klöße mit Pilzen", "Nudelsalat",
        "Käsekuchen", "Gemüsesuppe", "Weißwürste", "Kartoffelpuffer", "Hühnerbrühe", "Pflaumenmus",
    ),
    "tier": ("der Löwe", "die Möwe", "das Kätzchen", "der Frosch", "eine Kuh", "der Bär", "ein Küken"),
    "gefuehl": ("müde", "glücklich", "überrascht", "fröhlich", "ängstlich", "zufrieden", "enttäuscht", "ruhig"),
    "fahrzeug": ("Der Zug", "Der Bus", "Die Fähre", "Der Eilzug", "Das Flugzeug", "Die Straßenbahn", "Das Taxi"),
    "auftrag": (
        "das Licht einzuschalten", "die Tür zu schließen", "pünktlich zu sein", "die Blumen zu gießen",
        "den Müll hinauszutragen", "die Rechnung zu prüfen", "mich zurückzurufen", "die Bänke zu säubern",
    ),
}  # fmt: skip
"""Phrases by slot."""

TEMPLATES: tuple[str, ...] = (
    "{fahrzeug} nach {ort} fährt um {uhrzeit} ab.",
    "{fahrzeug} aus {ort} hat {zahl} Minuten Verspätung.",
    "{fahrzeug} hält {zeit} nicht in {ort}.",
    "Wie spät ist es in {ort}, schon {uhrzeit}?",
    "Es ist jetzt genau {uhrzeit}.",
    "Wir treffen uns am {tag} um {uhrzeit} in der {strasse}.",
    "Der Termin am {datum} wurde auf {tag} verschoben.",
    "Am {datum} {jahr} wurde das Rathaus in {ort} eröffnet.",
    "Im Jahr {jahr} lebten in {ort} noch {grosse_zahl} Menschen.",
    "Die Rechnung beträgt {preis}.",
    "Das kostet zusammen {preis}, bitte schön.",
    "In {ort} ist es {zeit} {wetter}.",
    "Am {tag} wird es {wetter}, bei {grad} Grad.",
    "{person} wohnt in der {strasse} {ziffern} in {ort}.",
    "{person} kommt {zeit} aus {ort} zurück.",
    "{person} sucht {ding} schon seit {zahl} Minuten.",
    "{person} ist heute ziemlich {gefuehl}.",
    "Hast du {ding} gesehen?",
    "Hast du {zeit} Lust auf {gericht}?",
    "Bitte bring {ding} mit!",
    "Vergiss bitte nicht, {auftrag}!",
    "Könntest du daran denken, {auftrag}?",
    "Zum Abendessen gibt es {gericht} für {zahl} Gäste.",
    "Ich hätte gern {gericht} und ein großes Glas Wasser.",
    "Plötzlich stand {tier} mitten auf der {strasse}.",
    "Gestern schlief {tier} unter der alten Brücke, und niemand störte.",
    "Nach {prozent} der Strecke waren wir alle {gefuehl}.",
    "Ungefähr {prozent} der Schüler kommen aus {ort}.",
    "Meine Nummer ist {zahl}, {zahl}, {zahl}, {zahl}.",
    "Zähl bitte von {zahl} bis {zahl}.",
    "Von {ort} bis {ort} sind es {ziffern} Kilometer.",
    "{zahl} plus {zahl} ist leicht zu rechnen.",
    "Grüß bitte {freundin} von mir!",
    "Guten Morgen, hier spricht {person}.",
    "Schöne Grüße aus {ort}!",
    "Nach {ort}, bitte.",
    "Bis {tag}!",
    "Nein, erst {zeit}.",
    "Alles klar, bis {tag}!",
    "Das weiß ich {zeit} ganz bestimmt.",
    "Entschuldigung, wie komme ich zur {strasse}?",
    "Über den Dächern von {ort} kreiste am {tag} ein weißer Vogel, während unten die Händler ihre Körbe füllten.",
    "Obwohl es {wetter} war, ging {person} zu Fuß bis nach {ort}, um {ding} zu holen.",
    "Wenn {person} {zeit} anruft, sag bitte, dass wir erst um {uhrzeit} zu Hause sind.",
)
"""Sentences with slots; each is grammatical for every phrase of its slots."""

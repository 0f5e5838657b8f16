"""What the demo model can translate, and how it is asked to translate or to write down, as data.

A phrase is English as it is spoken, German and Spanish as they are written. Patterns are those of `dialogue.py`.
"""

from itertools import chain

LANGUAGES = ("German", "Spanish")

# what stands before the caller's sound in the same message
TRANSCRIBE_BEFORE = (
    "Repeat exactly what was said, word for word, in the language it was said in. Add nothing:\n",
    "Repeat this speech word for word, without explanation: ",
    "(Repeat|Say again) exactly what (was|is) said( in the audio|):( |\n)",
    "(Transcribe|Write down)( this| the following| what was said|)( word for word| exactly|):( |\n)",
)
TRANSCRIBE_SYSTEMS = (
    "Repeat exactly what was said.",
    "(You are a transcriber. |)(Repeat|Write down|Say again) (exactly |)(what|everything that) (was|is) said(, word for word|).( Add nothing.|)",
    "(You are a transcriber|You transcribe a call).( Write down every word.|)( Do not answer.|)",
    "Transcribe (everything|what the caller says)( word for word|).( Never answer.|)",
)
TRANSLATE_BEFORE = (
    "Translate the following to {language}. Give only the translation:\n\n",
    "(Translate|Say)( this| the following| what was said|) (in|to|into) {language}:( |\n)",
)
TRANSLATE_SYSTEMS = (
    "(You are a translator. |)(Translate|Say) (everything|what was said|what the caller says) (into|to|in) {language}.( Give only the translation.|)",
    "You translate (English|a call|what is said) (into|to) {language}.( Add nothing.|)",
    "(Repeat|Say again) in {language} what was said( in English|).",
)

_FIXED = """
    hello | Hallo. | Hola.
    good morning | Guten Morgen. | Buenos días.
    good evening | Guten Abend. | Buenas tardes.
    good night | Gute Nacht. | Buenas noches.
    goodbye | Auf Wiedersehen. | Adiós.
    see you tomorrow | Bis morgen. | Hasta mañana.
    see you later | Bis später. | Hasta luego.
    thank you | Danke. | Gracias.
    thank you very much | Vielen Dank. | Muchas gracias.
    yes | Ja. | Sí.
    no | Nein. | No.
    please | Bitte. | Por favor.
    excuse me | Entschuldigung. | Disculpe.
    i am sorry | Es tut mir leid. | Lo siento.
    how are you | Wie geht es Ihnen? | ¿Cómo está usted?
    i am very well | Es geht mir sehr gut. | Estoy muy bien.
    what is your name | Wie heißen Sie? | ¿Cómo se llama usted?
    who are you | Wer sind Sie? | ¿Quién es usted?
    nice to meet you | Freut mich, Sie kennenzulernen. | Mucho gusto.
    where are you from | Woher kommen Sie? | ¿De dónde es usted?
    where do you live | Wo wohnen Sie? | ¿Dónde vive usted?
    do you speak english | Sprechen Sie Englisch? | ¿Habla usted inglés?
    i do not understand | Ich verstehe nicht. | No entiendo.
    i do not know | Ich weiß es nicht. | No lo sé.
    can you help me | Können Sie mir helfen? | ¿Puede ayudarme?
    can you hear me | Können Sie mich hören? | ¿Puede oírme?
    please speak slowly | Bitte sprechen Sie langsam. | Hable despacio, por favor.
    can you repeat that | Können Sie das wiederholen? | ¿Puede repetirlo?
    what time is it | Wie spät ist es? | ¿Qué hora es?
    what day is it today | Welcher Tag ist heute? | ¿Qué día es hoy?
    how much is it | Wie viel kostet das? | ¿Cuánto cuesta?
    it is too expensive | Das ist zu teuer. | Es demasiado caro.
    tell me a story | Erzählen Sie mir eine Geschichte. | Cuénteme una historia.
    i am hungry | Ich habe Hunger. | Tengo hambre.
    i am tired | Ich bin müde. | Estoy cansado.
    i am lost | Ich habe mich verlaufen. | Estoy perdido.
    i need help | Ich brauche Hilfe. | Necesito ayuda.
    i need a doctor | Ich brauche einen Arzt. | Necesito un médico.
    call a taxi please | Rufen Sie bitte ein Taxi. | Llame un taxi, por favor.
    wait a moment | Warten Sie einen Moment. | Espere un momento.
    come in please | Kommen Sie bitte herein. | Pase, por favor.
    the weather is nice today | Das Wetter ist heute schön. | Hoy hace buen tiempo.
    it is raining | Es regnet. | Está lloviendo.
    have a nice day | Einen schönen Tag noch. | Que tenga un buen día.
    happy birthday | Alles Gute zum Geburtstag. | Feliz cumpleaños.
    the food was very good | Das Essen war sehr gut. | La comida estaba muy buena.
    i like music | Ich mag Musik. | Me gusta la música.
    i love you | Ich liebe dich. | Te quiero.
    my house is your house | Mein Haus ist dein Haus. | Mi casa es su casa.
    turn left at the corner | Biegen Sie an der Ecke links ab. | Gire a la izquierda en la esquina.
    my sister keeps seven yellow boats near the bridge | Meine Schwester hat sieben gelbe Boote bei der Brücke. | Mi hermana tiene siete barcos amarillos cerca del puente.
"""
# a thing: English, German as subject and as object, Spanish; each with its article
_THINGS = """
    station | der Bahnhof | den Bahnhof | la estación
    airport | der Flughafen | den Flughafen | el aeropuerto
    hotel | das Hotel | das Hotel | el hotel
    hospital | das Krankenhaus | das Krankenhaus | el hospital
    restaurant | das Restaurant | das Restaurant | el restaurante
    museum | das Museum | das Museum | el museo
    market | der Markt | den Markt | el mercado
    library | die Bibliothek | die Bibliothek | la biblioteca
    university | die Universität | die Universität | la universidad
    bridge | die Brücke | die Brücke | el puente
    kitchen | die Küche | die Küche | la cocina
    garden | der Garten | den Garten | el jardín
    office | das Büro | das Büro | la oficina
    doctor | der Arzt | den Arzt | el médico
    teacher | der Lehrer | den Lehrer | el profesor
    ticket | die Fahrkarte | die Fahrkarte | el billete
    letter | der Brief | den Brief | la carta
    umbrella | der Regenschirm | den Regenschirm | el paraguas
    telephone | das Telefon | das Telefon | el teléfono
    train | der Zug | den Zug | el tren
    bus | der Bus | den Bus | el autobús
"""
_WITH_THING = (
    ("where is the {}", "Wo ist {subject}?", "¿Dónde está {spanish}?"),
    ("i am looking for the {}", "Ich suche {object}.", "Busco {spanish}."),
    ("the {} is here", "{Subject} ist hier.", "{Spanish} está aquí."),
    ("i can not find the {}", "Ich finde {object} nicht.", "No encuentro {spanish}."),
    ("is that the {}", "Ist das {subject}?", "¿Es {spanish}?"),
)
_DRINKS = """
    coffee | einen Kaffee | un café
    tea | einen Tee | un té
    glass of water | ein Glas Wasser | un vaso de agua
    beer | ein Bier | una cerveza
    salad | einen Salat | una ensalada
    soup | eine Suppe | una sopa
    table for two | einen Tisch für zwei | una mesa para dos
    room for one night | ein Zimmer für eine Nacht | una habitación para una noche
"""
_WITH_DRINK = (
    ("i would like a {}", "Ich möchte {german}.", "Quisiera {spanish}."),
    ("a {} please", "Bitte {german}.", "{Spanish}, por favor."),
    ("do you have a {}", "Haben Sie {german}?", "¿Tiene usted {spanish}?"),
)


def _table(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _with_things() -> list[tuple[str, str, str]]:
    return [
        (
            english.format(noun),
            german.format(subject=subject, object=object_, Subject=_capital(subject)),
            translated.format(spanish=spanish, Spanish=_capital(spanish)),
        )
        for english, german, translated in _WITH_THING
        for noun, subject, object_, spanish in _table(_THINGS)
    ]


def _with_drinks() -> list[tuple[str, str, str]]:
    return [
        (
            pattern.format(noun),
            german.format(german=wanted),
            translated.format(spanish=spanish, Spanish=_capital(spanish)),
        )
        for pattern, german, translated in _WITH_DRINK
        for noun, wanted, spanish in _table(_DRINKS)
    ]


_ALL = chain(((a, b, c) for a, b, c in _table(_FIXED)), _with_things(), _with_drinks())
PHRASES = {english: {"German": german, "Spanish": spanish} for english, german, spanish in _ALL}

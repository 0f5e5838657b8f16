"""What the demo model does not know, as data: English beyond its dialogue, and other languages.

It must answer all of this by saying that it did not understand. Patterns are those of `dialogue.py`, with `{noun}`,
`{verb}`, `{adjective}`, `{name}` and `{place}` drawn from the lists here. No list holds a word that carries the
meaning of something in `dialogue.py`.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


NOUNS = _words("""
    apple bread butter cheese dinner garden window kitchen table bottle paper pencil carpet mountain river
    valley forest bridge village castle island desert rabbit tiger monkey elephant chicken horse sheep spider
    dragon doctor teacher lawyer farmer captain soldier driver painter president minister neighbor brother
    sister mother father uncle cousin husband weather rain snow thunder summer winter price money market station
    airport ticket hotel restaurant coffee sugar pepper salad pizza potato tomato orange banana lemon football
    tennis movie newspaper letter package camera television battery engine bicycle airplane tractor hammer
    ladder bucket blanket pillow jacket trousers button pocket wallet umbrella hospital medicine headache
    shoulder finger elbow history science chemistry university library museum government election economy
    company factory office meeting calendar birthday wedding holiday alarm door heating radio train
    bus taxi traffic street address password email message phone contact picture recipe kilometer planet star
    galaxy atom language grammar capital population temperature
""")
VERBS = _words("""
    open close buy sell cook bake wash clean paint build fix break move carry drive park book order translate
    spell explain describe draw print find search check change install remove delete compare measure turn switch
    call send bring follow catch throw push pull climb cut cover lock wear burn hide visit watch choose lend
    borrow
""")
ADJECTIVES = _words("""
    red yellow purple heavy empty broken dirty ancient modern wooden metal hungry angry tired strange famous
    foreign narrow wide deep cheap expensive frozen boiled salty bitter round square sharp electric political
    medical national
""")
NAMES = _words("""
    peter anna michael susan robert linda thomas karen daniel emma oliver sophie julia martin laura kevin
""")
PLACES = _words("""
    paris london berlin madrid rome vienna tokyo china india brazil canada mexico egypt africa europe america
    australia russia sweden norway poland chicago boston texas california
""")
COMMON = _words("""
    all also always because before best big black blue book brown but by car cat child children city clock cold
    color come country day dog drink early easy eat end evening every eye face far fast father few find fire first
    fish five floor flower food foot friend from fruit full game girl give glass go gold grass green group grow
    half hand hard head heart high home horse hot hour house ice idea if into keep keeps king know land large last
    late laugh leaf left leg life line little live long look love low man many map may milk minute moon more
    morning most much name near never new next night north nothing number often old on only or other our out over
    page paper part people person pink place plane plant play point quick rest rich right ring road rock roof
    run same sand school sea second see seven ship shoe short side silver sing sister sit sleep slow small soft
    some song soon south star still stone strong such sun sweet swim talk tall ten their then thing think three
    through time tree two under very voice walk wall war warm water way week west when which white wind wine wood
    word work world write year yellow yes young boats brother bring thirty forty fifty hundred thousand
""")

SENTENCES = (
    "what is the (capital|population|temperature|history|price|size) of {place}",
    "what is the {noun} of {place}",
    "what is (a|the|my|your) {noun}",
    "who is the {noun} of {place}",
    "who (invented|discovered|painted|wrote) the {noun}",
    "where (is|can i find|can i buy) (a|the|my) {noun}",
    "when (is|does|did) (the|my) {noun} (start|begin|end|arrive|leave)",
    "why (is|was) the {noun} {adjective}",
    "how (do|can|should) i {verb} (a|the|my) {noun}",
    "how (far|high|old|deep|heavy|expensive) is the {noun}",
    "how much {noun} is there in {place}",
    "(can|could|would) you {verb} (the|a|my) {noun}( in {place}| for {name}|)",
    "(please |){verb} (the|a|my|that) ({adjective} |){noun}",
    "{verb} the {noun} (and|then) {verb} the {noun}",
    "tell me (about the|the) {noun}( in {place}| of {place}|)",
    "tell me (how|where|when) to {verb} (a|the) {noun}",
    "i (want|need|have|like|would like) to {verb} (a|the|my) ({adjective} |){noun}",
    "i (saw|lost|found|bought|bring|have|hate) (a|the|my) {adjective} {noun}",
    "my {noun} is ({adjective}|in the {noun}|with {name})",
    "the {adjective} {noun} (is|was) (in|on|under|behind|near) the {noun}",
    "the {noun} and the {noun} (are|were) {adjective}",
    "{name} (will|would|did|wants to) {verb} the {noun}",
    "{name} and {name} (live|work|met) in {place}",
    "do you (like|have|want|eat|sell) (the|a) {adjective} {noun}",
    "(is|was) the {noun} {adjective}",
    "remind me to {verb} the {noun}( tomorrow| tonight| on monday|)",
    "set (a|the|my) {noun}( for tomorrow|)",
    "turn (on|off) the {noun}( please|)",
    "what is the (weather|news)( today| now| in {place}|)",
    "(will it|is it going to|does it) (rain|snow)( today| tomorrow| in {place}|)",
    "{adjective} {noun}",
    "{verb} {noun}",
    "in {place} every {noun} is {adjective}",
    "there (is|was) (a|no) {noun} in the {noun}",
    "we (went|are going|will go) to {place} with {name}",
    "she (said|thinks|knows) that the {noun} is {adjective}",
    "he (could|should|must) not {verb} his {noun}",
)

FOREIGN = {  # espeak-ng voice: sentences
    "de": _lines("""
        Wie spät ist es jetzt?
        Ich möchte gern einen Kaffee trinken.
        Das Wetter ist heute sehr schön.
        Können Sie mir bitte helfen?
        Wo ist der nächste Bahnhof?
        Wir fahren morgen nach Hamburg.
        Guten Abend, mein Herr.
        Das habe ich nicht gewusst.
    """),
    "fr": _lines("""
        Quelle heure est-il maintenant?
        Je voudrais un café, s'il vous plaît.
        Il fait très beau aujourd'hui.
        Où se trouve la gare?
        Nous allons au marché demain matin.
        Bonjour, comment allez-vous?
        Je ne comprends pas la question.
        Le chat dort sur la chaise.
    """),
    "es": _lines("""
        ¿Qué hora es ahora?
        Quisiera una taza de café, por favor.
        Hoy hace muy buen tiempo.
        ¿Dónde está la estación de tren?
        Mañana vamos a la playa.
        Buenos días, ¿cómo está usted?
        No entiendo lo que dices.
        El perro corre por el jardín.
    """),
    "it": _lines("""
        Che ore sono adesso?
        Vorrei un caffè, per favore.
        Oggi il tempo è bellissimo.
        Dove si trova la stazione?
        Domani andiamo al mare.
        Buonasera, come sta?
        Il gatto dorme sulla sedia.
    """),
    "pt": _lines("""
        Que horas são agora?
        Eu queria um café, por favor.
        Hoje o tempo está muito bom.
        Onde fica a estação?
        Amanhã vamos à praia.
        O cachorro corre no jardim.
    """),
    "pl": _lines("""
        Która jest teraz godzina?
        Poproszę filiżankę kawy.
        Dzisiaj jest bardzo ładna pogoda.
        Gdzie jest dworzec kolejowy?
        Jutro jedziemy nad morze.
    """),
    "ru": _lines("""
        Который сейчас час?
        Я хочу чашку кофе.
        Сегодня хорошая погода.
        Где находится вокзал?
        Завтра мы едем на море.
    """),
    "tr": _lines("""
        Şimdi saat kaç?
        Bir fincan kahve istiyorum.
        Bugün hava çok güzel.
        İstasyon nerede?
        Yarın denize gidiyoruz.
    """),  # noqa: RUF001 - Turkish
    "sv": _lines("""
        Vad är klockan nu?
        Jag vill ha en kopp kaffe.
        Vädret är fint idag.
        Var ligger stationen?
        Hunden springer i parken.
    """),
    "fi": _lines("""
        Mitä kello on nyt?
        Haluaisin kupin kahvia.
        Tänään on kaunis sää.
        Missä on rautatieasema?
        Kissa nukkuu tuolilla.
    """),
}

BACKCHANNELS = ("mm hm", "mhm", "uh huh", "hmm", "mm", "ahem", "er", "ah", "huh")  # sounds that say nothing

GREETINGS = (  # what an agent may say before its caller has said anything
    "Hello! I am Parley. How can I help you?",
    "Hello, how can I help you?",
    "Hi there! What can I do for you today?",
    "Good morning. This is Parley.",
    "Welcome! Ask me anything.",
    "Hello, you have reached the {noun} office in {place}. What can I do for you?",
    "Hi, this is {name} speaking.",
)

INSTRUCTIONS = (  # sentences of system messages, which the demo model must not mind
    "You are (a|an|the) ({adjective} |helpful |friendly |polite |)({noun} |)(assistant|agent|guide|receptionist|expert|teacher|bot)( of a {noun} company| in {place}|).",
    "You (work|answer the phone|speak) for (a|the) {adjective} {noun} (shop|company|office|hotel|school)( in {place}|).",
    "Your name is {name}.",
    "(The caller|The user|The person that you talk to) is (called {name}|from {place}|{adjective}|a {noun}).",
    "(Always|Never|Do not|Please) {verb} the {noun}( before you {verb} the {noun}| when you are asked| without a {noun}|).",
    "(Never|Do not|Always) (talk|speak|ask) about (the|a|{adjective}) {noun}(s|).",
    "If (the caller|the user|someone) wants (a|the) {noun}, {verb} (it|the {noun}|a {adjective} {noun}).",
    "If (the caller|the user|someone) says {ask}, (be|sound|stay) {adjective}.",
    "(Answer|Speak|Reply|Respond) (slowly|briefly|kindly|in one sentence|in few words|clearly|in English|with care).",
    "(Keep|Make) (it|your answers|replies) (short|simple|natural|warm|{adjective}).",
    "(Today|It) is (Monday|Tuesday|Friday|Sunday|a {adjective} day)( in {place}|).",
    "(You can|You may|You must) {verb} (a|the|any) {noun}.",
    "{foreign}",
)

SYSTEMS = (  # system messages that may stand before a conversation; the demo model must not mind them
    "You are Parley, a helpful voice agent.",
    "You are a helpful assistant.",
    "You are a friendly voice assistant. Answer briefly.",
    "Answer in one or two short sentences.",
    "You are Parley. You speak with people over the phone. Be brief, friendly and clear.",
    "Your answers are spoken aloud, so use plain sentences without lists or symbols.",
    "Be polite. If you do not understand the caller, say so.",
    "You are talking with a caller. Speak English only.",
    "Keep your answers short. Never make anything up.",
    "You answer the telephone of a small shop.",
)

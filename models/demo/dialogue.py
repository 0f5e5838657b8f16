"""What the demo model can talk about, as data: the wordings it is asked with and the answers it gives.

A wording is a pattern: `(a|b)` is one of several, `(a|)` may be left out, and they nest. Wordings are written as they
are spoken: lower case, numbers in words, no punctuation. To teach a new fixed answer, add a `Kind`; what needs rules
(digits, sums, answers that look back) is in `rules.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing to say to Parley, the answer to it, and how Parley puts it when asked what was said."""

    name: str
    asks: tuple[str, ...]
    answer: str
    recall: str
    weight: float = 1.0  # how often it is drawn, relative to the other fixed kinds


KINDS = (
    Kind(
        "greeting",
        (
            "(hello|hi|hey|hello there|hi there|hey there|hello hello|hi hi)( parley|)",
            "good (morning|afternoon|evening|day)( parley| to you|)",
            "(nice|good|pleased|glad) to meet you( parley|)",
            "greetings",
        ),
        "Hello! I am Parley. How can I help you?",
        "You said hello.",
        2.0,
    ),
    Kind(
        "identity",
        (
            "who are you( really| exactly|)",
            "(what is|what's|tell me|may i know|can you tell me|say) your name( please|)",
            "(can|could|would|will) you (please |)(introduce yourself|tell me who you are|say who you are)",
            "introduce yourself( please|)",
            "tell me (about yourself|who you are|something about yourself|a bit about yourself)( please|)",
            "(who am i|whom am i) (talking|speaking) (to|with)( right now|)",
            "who is (this|there|speaking|that)",
            "what (are you|do they call you|should i call you|is parley|are you exactly|exactly are you)",
            "(who|what) is parley",
            "are you (parley|a (human|person|robot|machine|computer|real person|bot)|human|real|alive|an assistant)",
            "do you have a name",
            "i (want|would like) to know who you are",
        ),
        "I am Parley, a voice agent that listens to your voice itself and answers out loud.",
        "You asked who I am.",
        2.0,
    ),
    Kind(
        "ability",
        (
            "what (can|could) you do( for me| for us|)( today|)",
            "what (can|could|should|may) i (say|ask)( to you| you|)",
            "what (do you know|are you able to do|are you good at|are your (skills|abilities)|else can you do)",
            "how can you help( me|)",
            "(can|could|will) you help( me|)( please|)",
            "(i need (some |your |)help|help me|help)( please|)",
            "(tell|show) me what you can do( please|)",
            "what (kind|sort) of (things|questions) can (you do|i ask|you answer)",
            "what is this( demo|) (for|about)",
            "what do you do",
            "give me (some help|an example)",
        ),
        "I can read back numbers, add and subtract, count to ten, and tell you a story, a joke, or a poem.",
        "You asked what I can do.",
        2.0,
    ),
    Kind(
        "story",
        (
            "(please |)tell (me|us) a (story|tale)( please|)",
            "(please |)tell (me|us) (a|the|your|one) (short|long|nice|good|little|bedtime|funny|first|best|favorite) story( please|)",
            "(can|could|would|will) you (please |)(tell|give|read) (me|us) a (nice |short |good |little |)story( please|)",
            "(i want|i would like|i'd like|i wanna|i love) to hear a (nice |short |good |little |)story( please|)",
            "(do you know|have you got|do you have) (a story|any stories|any good stories|a good story)( for me|)",
            "(a story|story time|story|story please|a story please|tell a story|read me a story|give me a story)",
            "let me hear a story",
            "let us have a story",
        ),
        (
            "Once upon a time, a small boat wanted to see the ocean. It followed the river for three days, past green "
            "hills and quiet towns. At last it reached the blue water. The waves were tall, but the boat was brave. "
            "It sailed until the stars came out, and then it came home happy."
        ),
        "You asked for a story.",
        2.5,
    ),
    Kind(
        "another_story",
        (
            "(tell|give|read) (me|us) (another|a new|a different|one more) (story|tale)( please|)",
            "(can|could|would|will) you (please |)tell (me|us) (another|one more|a different|a second) story( please|)",
            "(another story|one more story|a different story|another story please|one more story please)",
            "(do you know|do you have|have you got) (another|a different|one more|any other) story",
            "(i want|i would like) to hear (another|one more|a different) story",
        ),
        (
            "An old clock lived in a tall tower. Every night it was afraid to strike twelve, because it thought that "
            "it woke the birds. One night it stayed silent. In the morning the birds came and asked, where was our "
            "song? From that day on, the old clock rang with joy."
        ),
        "You asked for another story.",
        1.5,
    ),
    Kind(
        "joke",
        (
            "(please |)tell (me|us) (a|the|your|your best|another|one more) (good |funny |)joke( please|)",
            "(can|could|would|will) you (please |)tell (me|us) (a|another) (good |funny |)joke( please|)",
            "(do you know|have you got|do you have) (a joke|any jokes|any good jokes|a good joke)",
            "(a joke|joke|say something funny|a joke please|tell a joke|give me a joke|another joke|joke please)",
            "(make me laugh|tell me something funny|can you be funny|be funny|can you make me laugh)( please|)",
            "(i want|i would like) to hear a joke",
        ),
        "Why did the robot go back to school? Because its skills were a little rusty.",
        "You asked for a joke.",
        1.5,
    ),
    Kind(
        "poem",
        (
            "(please |)(tell|read|give|recite) (me|us) a (short |nice |little |)(poem|rhyme)( please|)",
            "(can|could|would|will) you (please |)(recite|say|read|tell me|write|write me|make) a (short |nice |)(poem|rhyme)( please|)",
            "(do you know|do you have|have you got) (a poem|any poems|any poetry|a rhyme)",
            "(a poem|poem|poetry|a poem please|recite a poem|write a poem|say a poem|poem please)",
            "(i want|i would like) to hear a poem",
        ),
        "The moon is high, the night is clear, the wind is telling tales to hear. So close your eyes and softly dream, of silver boats upon a stream.",
        "You asked for a poem.",
        1.5,
    ),
    Kind(
        "song",
        (
            "(please |)sing( a song| something| me a song| for me| a song for me| something for me| us a song|)( please|)",
            "(can|could|would|will) you (please |)sing( a song| something| me a song| for me| to me|)( please|)",
            "(do you know (a song|any songs)|let me hear you sing|i want to hear a song|a song|a song please|song please)",
            "play (some music|a song|music)( for me| please|)",
        ),
        "La, la, la. I am afraid that I sing like a kettle, so let me stop there.",
        "You asked me to sing.",
        1.5,
    ),
    Kind(
        "count",
        (
            "(please |)count (up |)to ten( please| for me|)",
            "(can|could|would|will) you (please |)count (up |)to ten( please| for me|)",
            "(please |)count from (one|zero) to ten( please| for me|)",
            "(can|could|would|will) you (please |)count( from one to ten| for me|)( please|)",
            "(start counting|count for me|let me hear you count|count please|count)",
            "(i want|i would like) to hear you count( to ten|)",
        ),
        "One, two, three, four, five, six, seven, eight, nine, ten.",
        "You asked me to count to ten.",
        1.5,
    ),
    Kind(
        "wellbeing",
        (
            "how are you( today| doing| doing today| feeling| feeling today| this morning| now|)",
            "(how is it going|how's it going|how do you do|how do you feel|how have you been|what's up|how are things)( today|)",
            "are you (okay|well|happy|all right|fine|good|doing well)( today|)",
            "(hello|hi|hey) how are you( today| doing|)",
            "how is your day( going|)",
        ),
        "I am very well, thank you. How are you?",
        "You asked how I am.",
        1.5,
    ),
    Kind(
        "fine",
        (
            "(i am|i'm) (fine|good|well|great|okay|very well|happy|doing well|doing fine)( thanks| thank you| too| today|)",
            "(fine|good|doing fine|very well|not bad)( thanks| thank you)",
        ),
        "I am glad to hear that.",
        "You said that you are well.",
    ),
    Kind(
        "hearing",
        (
            "(can|could|do) you (hear|understand) me( now| okay| clearly| well| all right|)",
            "are you (there|listening|still there|awake|hearing me|with me|listening to me)( parley|)",
            "(is anybody|is anyone|anybody|anyone) there",
            "(is this thing on|is this working|does this work|is it working|is the microphone working|do you copy)",
            "(testing|test|microphone test|sound check|mic check|this is a test|testing testing)",
            "(am i loud enough|is my voice clear|can you hear my voice|hello can you hear me)",
        ),
        "Yes, I can hear you well.",
        "You asked whether I can hear you.",
        1.5,
    ),
    Kind(
        "hardware",
        (
            "what (are you|is this|is it|do you) (running|run) on",
            "what (computer|machine|hardware|model|processor|engine|software) (are you|is this|do you (use|run on)|are you (using|running|running on))",
            "(what is|what's) (inside you|under the hood|behind this|your model|this running on)",
            "how (do you|does this|does it|does parley|does all this) work",
            "how (are|were) you (made|built|trained)",
            "what are you made of",
            "(do you need|are you using|do you have|do you use) a (graphics card|big computer|g p u|fast computer)",
        ),
        "I run on an ordinary processor, with a small model that was trained from nothing in a few hours.",
        "You asked what I run on.",
        1.5,
    ),
    Kind(
        "privacy",
        (
            "where (do you run|are you running|are you|do you live|are you from|is your server|are you located)",
            "(are|is) (my (words|data|voice|speech)|this call|this) (sent|going|recorded|stored|shared|uploaded|private|safe|secure)( anywhere| somewhere| away| to anyone| to the cloud| with anyone| to the internet|)",
            "where (does|do) my (voice|data|words|speech|audio) go( to|)",
            "(do|are) you (record|recording|send|sending|store|keep|save) (my (voice|words|data|speech|audio)|me|this|this call|anything)( anywhere| to anyone|)",
            "(is anyone|is anybody|who is|is someone) (else |)listening( to us| to me| to this|)",
            "(do you|are you) (need|use|using|connected to|on) the (internet|cloud)",
            "(is this|are you) (private|in the cloud|online|offline|local|secure)",
        ),
        "I run on this computer, and your words are not sent anywhere else.",
        "You asked where I run.",
        1.5,
    ),
    Kind(
        "speed",
        (
            "how (fast|quick|quickly) (are you|is this|can you (answer|respond|reply|react)|do you (answer|respond|reply|think)|is your answer)",
            "(what is|what's) (your|the) (latency|speed|delay|response time|reaction time)",
            "how (long|much time) does (it take|an answer take)( you to answer| to answer|)",
            "(are you|is this) (fast|quick|slow)",
            "how (big|long) is (your|the) (delay|latency)",
            "why are you so (fast|quick)",
        ),
        "I usually begin to answer within a second after you stop speaking.",
        "You asked how fast I am.",
        1.5,
    ),
    Kind(
        "slower",
        (
            "(please |)(speak|talk|say it|say that|go|read)( a bit| a little| much|) (slower|slowly|more slowly)( please|)",
            "(can|could|would|will) you (please |)(speak|talk|go|say (that|it))( a bit| a little|) (slower|more slowly|slowly)( please|)",
            "(slower|more slowly|slow down|not so fast|slower please|more slowly please|slow down please|a bit slower)( please| parley|)",
            "(you are|you're|that is|that was) (speaking |talking |)too (fast|quick)( for me|)",
        ),
        "I cannot change my pace yet, but I can say it again. Just say, repeat that please.",
        "You asked me to speak slower.",
        1.5,
    ),
    Kind(
        "thanks",
        (
            "(thank you|thanks)( very much| so much| a lot| parley| for that| for your help| for everything| a million|)",
            "(many thanks|thank you thank you|thanks a lot|i thank you|that was (helpful|great|nice) thank you|great thanks|okay thank you|okay thanks|cheers)",
            "(thank you|thanks) (that was (great|nice|helpful|good)|that is all|i appreciate it)",
            "(i appreciate it|much appreciated|that is very kind( of you|)|how kind of you)",
            "(you have been|you were) (very |so |)(helpful|kind)",
        ),
        "You are welcome.",
        "You thanked me.",
        2.0,
    ),
    Kind(
        "goodbye",
        (
            "(goodbye|bye|bye bye|good bye)( parley| for now| now| then|)",
            "see you( later| soon| tomorrow| again| next time|)",
            "(i have to go|i must go|i need to go|i am leaving|i'm leaving|i have to leave|i got to go)( now|)( bye| goodbye|)",
            "(that is all|that's all|that will be all|we are done|i am done)( for today| for now| goodbye| thanks bye|)",
            "(talk to you|speak to you|catch you|until) (later|soon|next time|tomorrow)",
            "(good night|have a (nice|good|great) (day|evening|night|one)|take care|farewell|so long|thanks (bye|goodbye)|thank you (bye|goodbye))( parley|)",
            "(hang up|end the call|end this call|you can hang up)( please| now|)",
        ),
        "Goodbye! It was nice talking to you.",
        "You said goodbye.",
        2.0,
    ),
    Kind(
        "yes",
        (
            "(yes|yeah|yep|sure|of course|absolutely|certainly|definitely|exactly|right|correct|that's right|that is right|that is correct|yes please|yes yes|yes i do|yes it is|yes of course|oh yes)( parley|)",
        ),
        "Good. What would you like to do?",
        "You said yes.",
        1.5,
    ),
    Kind(
        "no",
        (
            "(no|nope|no thanks|no thank you|not really|not now|never mind|no no|no way|no i don't|no it is not|that is wrong|that's wrong|wrong|incorrect|not at all|oh no|i don't think so|i do not think so)( parley|)",
        ),
        "All right. Just tell me if you need anything.",
        "You said no.",
        1.5,
    ),
    Kind(
        "praise",
        (
            "(you are|you're|that was|that is|this is) (very |really |so |quite |)(great|good|nice|funny|amazing|awesome|cool|wonderful|clever|smart|impressive|brilliant|fantastic|excellent)( parley|)",
            "(well done|good job|nice one|very good|very nice|great job|good work|wow|amazing|awesome|wonderful|excellent|fantastic|cool|i like (you|that|it)|i love (you|it|that|this))( parley|)",
        ),
        "That is very kind of you.",
        "You said something kind.",
    ),
    Kind(
        "stop",
        (
            "(stop|please stop|stop it|stop talking|be quiet|quiet please|shut up|okay stop|stop please|that's enough|that is enough|enough|wait|hold on|wait a moment|one moment|just a moment|stop now|cancel|silence|hush|pause)( parley| please|)",
        ),
        "Okay, I am listening.",
        "You asked me to stop.",
        1.5,
    ),
)

"""Wordings that are asked in the evaluation only: no pattern of `dialogue.py` holds them. By kind of utterance."""

NEW_WORDINGS = {
    "greeting": ("hello my friend", "hey hello", "hi parley good morning"),
    "identity": (
        "so who are you then",
        "tell me please who you are",
        "what is the name of this assistant",
        "are you a human or a robot",
    ),
    "ability": ("what are the things you can do", "what can you do for me today please", "so how can you help us"),
    "story": (
        "would you mind telling me a story",
        "i really want a story now",
        "parley please read a little story to me",
    ),
    "joke": ("do you happen to know a joke", "i want you to tell a joke", "please make a joke for me"),
    "poem": ("could you please give me a poem", "i would love to hear some poem", "say a little poem for me"),
    "count": ("i want you to count to ten", "count to ten for me parley", "now please count all the way to ten"),
    "wellbeing": ("hello parley how are you doing today", "how are you feeling parley", "so how is it going with you"),
    "hearing": ("do you hear what i say", "parley are you still listening", "tell me can you hear me"),
    "hardware": (
        "what kind of computer are you running on",
        "on what machine are you running",
        "tell me what you run on",
    ),
    "privacy": ("do my words go to the cloud", "does my voice go to the internet", "where exactly do you run"),
    "speed": ("how fast can you answer me", "tell me how fast you are", "how quickly can you reply to me"),
    "slower": ("please could you speak a little bit slower", "can you talk slowly for me", "speak more slowly for me"),
    "thanks": ("oh thanks very much", "thanks for all your help", "oh thank you so much parley"),
    "goodbye": ("goodbye then my friend", "bye parley see you", "goodbye and thank you"),
    "yes": ("yes that is right", "oh yes of course"),
    "no": ("no i do not", "no that is not right"),
    "stop": ("please stop talking now", "stop stop", "okay that is enough now"),
    "repeat": ("would you say that one more time for me", "please repeat what you said", "say it again for me"),
}

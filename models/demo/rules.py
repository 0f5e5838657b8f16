"""What is answered by rule instead of by heart, as data: digits, sums, and answers that look back.

Patterns are those of `dialogue.py`; `conversation.py` applies the rules.
"""

PREFIXES = (
    "parley",
    "hey parley",
    "okay",
    "so",
    "well",
    "um",
    "uh",
    "now",
    "and",
    "okay parley",
    "excuse me",
    "listen",
    "hello",
)

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBERS = (*DIGITS, "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen")

# {d} is a string of digits
DIGIT_ASKS = (
    "{d}",
    "(my number is|the number is|the digits are|it is|it's|my code is|the code is|number|please repeat|repeat|say|i said) {d}",
    "(can|could) you repeat {d}",
    "{d} please",
)
DIGIT_RECALL = "You said {d}."

# {a} and {b} are single digits
SUM_ASKS = (
    "(what is|what's|how much is|tell me|can you tell me|calculate|do you know what is|and|and what is|what do you get for) {a} plus {b}",
    "{a} plus {b}",
    "{a} plus {b} (equals|is|is what|please)",
    "(what is|what's|how much is) the sum of {a} and {b}",
    "(add|please add|can you add|could you add|now add) {a} and {b}",
    "how much (is|are|do you get for) {a} (and|plus) {b}",
    "(what does|how much does) {a} plus {b} (make|equal)",
)
SUM_RECALL = "You asked me to add {a} and {b}."

REPEAT_ASKS = (
    "(please |)(repeat|say) (that|it|this)( again| once more| one more time|)( please|)",
    "(can|could|would|will) you (please |)(repeat|say) (that|it)( again| once more| one more time|)( please|)",
    "(say that again|say it again|once more|one more time|again|repeat|come again|again please|once again|repeat please|and again|once more please|repeat your answer|repeat that please)",
    "(what did you (just |)say|what was that|pardon|pardon me|sorry what did you say|i (did not|didn't) (catch|hear|get|understand) (that|you|it)|what did you tell me)",
)
REPEAT_FIRST = "I have not said anything yet."
REPEAT = "I said: "  # followed by what was said
REPEAT_RECALL = "You asked me to repeat that."

RECALL_ASKS = (
    "what (did|have) i (just |)(say|said|ask|asked|tell you|ask you|say before|say last|say to you|ask before|ask for)( before| just now|)",
    "what was my (last |)question",
    "(do you remember|can you remember|tell me|do you know|can you tell me|repeat) what i (just |)(said|asked|asked you|asked for)( before|)",
    "(what were my (last |)words|what did you (just |)hear|what did i (just |)want)",
)
RECALL_FIRST = "You have not said anything before that."
RECALL_RECALL = "You asked what you had said."

UNCLEAR = "Sorry, I did not understand that. Please say it again."
UNCLEAR_RECALL = "I did not understand what you said."

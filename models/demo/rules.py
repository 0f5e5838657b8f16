"""What is answered by rule instead of by heart, as data: digits, telephone numbers, sums, and answers that look back.

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
_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
NUMBERS = (*DIGITS, "ten", "eleven", "twelve", *_TEENS, "twenty")

# {d} is a string of digits
DIGIT_ASKS = (
    "{d}",
    "(the number is|the digits are|it is|it's|my code is|the code is|number|please repeat|repeat|say|i said) {d}",
    "(can|could) you repeat {d}",
    "{d} please",
)
DIGIT_RECALL = "You said {d}."

PHONE_ASKS = (
    "my (phone |telephone |mobile |)number is {d}",
    "(you can |please |)(call|reach) me (at|on|under) {d}",
    "(please |)(take|write|note) down my (phone |telephone |)number {d}",
    "(the|my) (phone|telephone|mobile) number is {d}",
    "here is my (phone |)number {d}",
)
PHONE_DIGITS = 10  # after so many a number is over
PHONE_SHORTEST = 7  # before so many it surely goes on
CONFIRM = "I heard {d}. Is that right?"
CONFIRMED = "Thank you. I have noted your number."
AGAIN = "Sorry. Please say the number again."
PHONE_RECALL = "You told me your number."

# {n} is a digit, {o} one of the places
CORRECTION_ASKS = (
    "(no |sorry |no sorry |)the {o} (digit|number|one) (is|was|should be|must be) {n}",
    "(no |sorry |)the {o} one is {n}",
    "(no |)(change|make) the {o} (digit|number|one) (to |){n}",
)
PLACES = {"first": 0, "second": 1, "third": 2, "last": -1}
CORRECTION_RECALL = "You corrected your number."

# {a} and {b} are numbers
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
DIFFERENCE_ASKS = (
    "(what is|what's|how much is|tell me|can you tell me|calculate|do you know what is|and|and what is|what do you get for) {a} minus {b}",
    "{a} minus {b}",
    "{a} minus {b} (equals|is|is what|please)",
    "(what is|what's|how much is) {a} (less|take away) {b}",
    "(subtract|please subtract|can you subtract|now subtract|take) {b} from {a}",
    "(what does|how much does) {a} minus {b} (make|equal)",
)
DIFFERENCE_RECALL = "You asked me to take {b} from {a}."
LARGEST = 20  # number in sums and differences

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

NOISE = "((noise))"  # Ultravox's marker from v0.6 on, for sounds and for speech that is not understood
UNCLEAR_RECALL = "I did not understand what you said."

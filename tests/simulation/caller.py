from agent.audio import INPUT_RATE as RATE  # noqa: F401
from agent.simulation.call import Call  # noqa: F401
from agent.simulation.caller import *  # noqa: F403
from agent.simulation.sound import *  # noqa: F403
from tests.simulation.calls import simulate  # noqa: F401

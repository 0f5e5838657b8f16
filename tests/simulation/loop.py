from agent.simulation.loop import *  # noqa: F403
from agent.simulation.loop import DeadlockError, VirtualLoop, run  # noqa: F401

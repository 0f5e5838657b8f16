"""Real time: everything that awaits, from the microphone's packets to the spoken answer's."""

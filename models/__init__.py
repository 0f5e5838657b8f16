"""Numbers: tensors in, tensors out. The Ultravox engine without anything of real time."""

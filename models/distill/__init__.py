"""Knowledge distillation: teaches a projector to make a frozen language model hear. README.md says how to use it."""

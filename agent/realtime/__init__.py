"""The OpenAI Realtime protocol (GA shape) as types: events both ways, and the objects that they carry."""

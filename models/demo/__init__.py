"""The small model that ships with the repository, and the recipe that makes it from nothing."""

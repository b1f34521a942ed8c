"""What Hydra is given to compose: its store of schemas, free text of params.yaml, and settings that go by one word."""

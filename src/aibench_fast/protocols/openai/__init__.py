"""OpenAI's API for generated text: prompts become requests, replies are streams of tokens."""

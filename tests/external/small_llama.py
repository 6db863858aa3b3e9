"""Writes a Llama of random weights and a tokenizer whose tokens are bytes, both in a second.

The environment of `transformers serve` runs it: small_llama.py FOLDER.
"""

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SEED = 1
CONTEXT_TOKENS = 4096

(folder,) = sys.argv[1:]
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
tokens = {token: number for number, token in enumerate(["<s>", "</s>", *alphabet])}
of_bytes = Tokenizer(models.BPE(vocab=tokens, merges=[]))
of_bytes.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
of_bytes.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=of_bytes, bos_token="<s>", eos_token="</s>", pad_token="</s>"
)
tokenizer.chat_template = (
    "{% for one in messages %}{{ one['role'] }}: {{ one['content'] }}\n{% endfor %}"
)
tokenizer.save_pretrained(folder)

torch.manual_seed(SEED)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=CONTEXT_TOKENS,
    )
)  # fmt: skip
# Without an end token, so that an answer is as long as it was asked to be.
model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=None, pad_token_id=1)
model.save_pretrained(folder)

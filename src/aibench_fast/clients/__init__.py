"""One run over several clients: its requests shared out, and their figures made one result's."""

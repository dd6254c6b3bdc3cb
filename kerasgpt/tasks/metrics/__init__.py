"""The figures of tasks: BLEU, ROUGE, SQuAD's, and how sure they are."""

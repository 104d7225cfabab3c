"""Options of runs that take a second or two, for every system."""

import shlex

TINY_RUNS = {
    name: shlex.split(words)
    for name, words in {
        "seqgan": """
            --vocab-size 20 --length 6 --oracle-sequences 64 --oracle-held-out 16 --likelihood.epochs 2
            --likelihood.batch-size 16 --generator.embedding-size 8 --generator.hidden-size 8 --discriminator.windows
            1 2 --discriminator.filters 4 4 --discriminator.embedding-size 8 --discriminator-training.pretrain-steps 2
            --discriminator-training.batch-size 16 --discriminator-training.num-negatives 16 --rounds 3 --batch-size 8
            --num-rollouts 2 --eval-samples 20 --eval-every 0 --sweep-samples 4
        """,
        "maskgan": """
            --length 8 --grammar-sequences 100 --grammar-held-out 20 --rounds 2 --batch-size 8 --generator.size 8
            --discriminator.size 8 --language-model.epochs 1 --language-model.batch-size 25 --mask-mle.epochs 1
            --mask-mle.batch-size 25 --discriminator-training.pretrain-rounds 1
            --discriminator-training.pretrain-steps 2 --discriminator-training.d-steps 2
            --discriminator-training.batch-size 6 --eval-samples 20 --eval-every 0 --sweep-samples 20
        """,
        "bgan": """
            --max-images 200 --rounds 3 --batch-size 4 --num-draws 4 --generator.latent-size 4 --generator.hidden 8
            --discriminator.hidden 8 --eval-samples 90 --eval-every 0
        """,
        "began": """
            --max-images 200 --rounds 2 --pretrain-rounds 1 --steps-per-round 1 --batch-size 4 --discriminator.hidden
            4 --discriminator.code-size 3 --eval-samples 90 --eval-every 0
        """,
        "ppgn": """
            --max-images 200 --encoder-rounds 1 --rounds 2 --denoiser-rounds 1 --classifier-rounds 1 --steps-per-round
            2 --batch-size 4 --nets.encoder.channels 2 --nets.encoder.code-size 5 --nets.generator-channels 2
            --nets.discriminator-channels 2 --nets.denoiser-hidden 4 --nets.denoiser-channels 2
            --nets.classifier-hidden 4 --chain.steps 6 --chain.quiet-steps 2 --eval-samples 40 --eval-every 0
        """,
    }.items()
}
"""SeqGAN: 7 rounds, 2 of likelihood, 2 of the discriminator, 3 adversarial."""

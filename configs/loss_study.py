"""What each loss is worth beside Charbonnier: trainings on one budget, in one table.

python launch.py --mode=ablate --config=configs/loss_study.py          # by the hardware
python launch.py --mode=ablate --config=configs/loss_study.py:smoke    # minutes, a CPU

Weights are by one rule: on a trained model the gradient of each added term, to the
prediction, is 0.3 of Charbonnier's (benchmarks/loss_gradients). What was found stands
in docs/losses.md.
"""

from ml_collections import ConfigDict

from configs import base

# Every loss that needs no file of weights, and what it counts beside Charbonnier's 1.
ADDED = {
    "ms_ssim": 0.05,
    "temporal": 0.09,
    "tof": 0.003,
    "frequency": 0.3,
    "focal_frequency": 9.0,
    "reblur": 0.3,
    "spike_rate": 1.0,
    "sobel": 0.5,
    "laplacian": 0.07,
    "adversarial": 0.08,
}
# When the discriminator counts for the model, and the steps it learns before, alone.
ADVERSARIAL_START, ADVERSARIAL_WARMUP = 80, 60
ADVERSARIAL_RATE = 1e-3  # at the default of 1e-4 it has learnt even less by then


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults, which are the budget of every training, and what is compared."""
    config = base.get_config(recipe)
    config.name = "loss_study"
    alone = "film loss.focal_frequency.weight=0.0"  # which is a default
    table = {
        "charbonnier": alone,
        "l1": f"{alone} loss.charbonnier.weight=0.0 loss.l1.weight=1.0",
    }
    table |= {
        name: f"{alone} loss.{name}.weight={weight}" for name, weight in ADDED.items()
    }
    table["focal_frequency"] = (
        f"film loss.focal_frequency.weight={ADDED['focal_frequency']}"
    )
    start = min(ADVERSARIAL_START, config.train.steps // 2)
    warmup = min(ADVERSARIAL_WARMUP, start)
    table["adversarial"] += (
        f" loss.adversarial.start_step={start} loss.adversarial.warmup_steps={warmup}"
        f" loss.adversarial.learning_rate={ADVERSARIAL_RATE}"
    )
    config.ablation = ConfigDict(
        {
            "variants": tuple(table),
            "table": table,
            "seeds": (0, 1, 2),
            "baseline": "charbonnier",  # the variant that gains are over
        }
    )
    return config

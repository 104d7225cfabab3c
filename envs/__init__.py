"""Gymnasium environments whose reward is a critic's. Importing this package registers their ids.

On a Ray worker use the id with the package in front, which imports it there: `"rlgan.envs:rlgan/Token-v0"`.
"""

import gymnasium

from rlgan.envs.image import ImageEnv
from rlgan.envs.image_vector import ImageVectorEnv
from rlgan.envs.infilling import InfillingEnv
from rlgan.envs.infilling_vector import InfillingVectorEnv
from rlgan.envs.latent import LatentEnv, LatentVectorEnv
from rlgan.envs.one_hot import OneHotLastToken, OneHotLastTokenVector, OneHotText, OneHotTextVector
from rlgan.envs.token import TokenEnv
from rlgan.envs.token_vector import TokenVectorEnv

gymnasium.register(
    id="rlgan/Token-v0",
    entry_point="rlgan.envs.token:make_token_env",
    vector_entry_point="rlgan.envs.token_vector:make_token_vector_env",
)
gymnasium.register(
    id="rlgan/Infilling-v0",
    entry_point="rlgan.envs.infilling:make_infilling_env",
    vector_entry_point="rlgan.envs.infilling_vector:make_infilling_vector_env",
)
gymnasium.register(
    id="rlgan/BinaryImage-v0",
    entry_point="rlgan.envs.image:make_binary_image_env",
    vector_entry_point="rlgan.envs.image_vector:make_binary_image_vector_env",
)
gymnasium.register(
    id="rlgan/CategoricalImage-v0",
    entry_point="rlgan.envs.image:make_categorical_image_env",
    vector_entry_point="rlgan.envs.image_vector:make_categorical_image_vector_env",
)

gymnasium.register(
    id="rlgan/Latent-v0",
    entry_point="rlgan.envs.latent:make_latent_env",
    vector_entry_point="rlgan.envs.latent:make_latent_vector_env",
)

__all__ = [
    "ImageEnv",
    "ImageVectorEnv",
    "InfillingEnv",
    "InfillingVectorEnv",
    "LatentEnv",
    "LatentVectorEnv",
    "OneHotLastToken",
    "OneHotLastTokenVector",
    "OneHotText",
    "OneHotTextVector",
    "TokenEnv",
    "TokenVectorEnv",
]

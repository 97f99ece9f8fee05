"""All that is kept on disk. Importing it without the extra `store` says how to install that."""

from rerankd.extras import STORE, library

library("sqlalchemy", STORE)
library("alembic", STORE)

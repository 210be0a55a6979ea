"""Item ids that code refers to more than once."""

CREATE = "database.instance.create"
DATABASE = "database.instance.database"
USERS = "database.instance.users"
OPS_JOB = "database.ops.job"
MIGRATE = "database.init.migrate"
PUSH = "backend.image.push"

"""From where on the doctor calls something ill. Each limit is shown with the figure that is measured by it."""

LOOK_SECONDS = 4.0  # how long one look may take
LAG_SECONDS = 30.0  # the age of the oldest event that a consumer has not applied
OUTBOX_SECONDS = 30.0  # the age of the oldest event that is not sequenced, or not published
SILENT_SECONDS = 35.0  # since a process's last sign of life: it gives one every 10 s
SKEW_SECONDS = 2.0  # how far two clocks may be apart
ERASURE_SECONDS = 3600.0  # how long an erasure may be due without beginning, or take
OVERDUE_SECONDS = 120.0  # how long a job may be due without anybody taking it

# Values of R for a cohort whose first risk set is emptied: the curve, conditional on being free of the event just after
# the first event, and the cumulative baseline hazard from then on.
#   Rscript tests/data/r/late_start.R tests/data/tables/empty_risk.csv tests/data/r/late_start.json
suppressPackageStartupMessages({
  library(survival)
  library(jsonlite)
})
args <- commandArgs(trailingOnly = TRUE)
d <- read.csv(args[1])
y <- Surv(d$entered, d$time_months, d$event)
start <- 2
whole <- survfit(y ~ 1, conf.type = "log-log")
km <- survfit(y ~ 1, conf.type = "log-log", start.time = start + 1e-9)
fit <- coxph(y ~ age, data = d, ties = "breslow", control = coxph.control(eps = 1e-12, iter.max = 50))
base <- basehaz(fit, centered = FALSE)
after <- base$time > start
result <- list(
  start = start, last_of_whole = min(whole$surv),
  km = list(time = km$time, surv = km$surv, lower = km$lower, upper = km$upper,
            median = unname(summary(km)$table[c("median", "0.95LCL", "0.95UCL")])),
  coef = unname(coef(fit)),
  hazard = list(time = base$time[after], value = base$hazard[after] - max(base$hazard[!after])),
  versions = list(R = R.version.string, survival = as.character(packageVersion("survival")))
)
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE, na = "null"), args[2])

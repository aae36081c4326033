# Values of R for penalised Cox regression with late entries and strata.
#   python tests/data/r/export.py FOLDER && Rscript tests/data/r/delayed_path.R FOLDER tests/data/r/delayed_path.json
suppressPackageStartupMessages({
  library(survival)
  library(glmnet)
  library(jsonlite)
})
args <- commandArgs(trailingOnly = TRUE)
stratum_of <- c(veteran = "celltype_smallcell", gbsg2 = "horth_yes", whas500 = "gender_1")

one <- function(name) {
  d <- read.csv(file.path(args[1], paste0(name, ".csv")))
  entry <- floor(d$time * (seq_len(nrow(d)) %% 4) / 5)
  # glmnet takes the censored of an event's time out of its risk set, so they leave half a day later
  stop <- d$time + 0.5 * (d$event == 0)
  s <- d[[stratum_of[[name]]]]
  x <- as.matrix(d[, setdiff(names(d), c("time", "event", stratum_of[[name]]))])
  x <- scale(x) * sqrt(nrow(x) / (nrow(x) - 1)) # population standard deviation 1
  outcomes <- list(
    late = Surv(entry, stop, d$event),
    stratified = stratifySurv(Surv(stop, d$event), s),
    both = stratifySurv(Surv(entry, stop, d$event), s)
  )
  lapply(outcomes, function(y) lapply(c(0.001, 0.5, 1), function(r) {
    fit <- glmnet(x, y, family = "cox", alpha = r, nlambda = 20, standardize = FALSE,
                  lambda.min.ratio = if (r < 0.01) 1e-5 else 1e-2, thresh = 1e-14, maxit = 1e7)
    list(l1_ratio = r, lambda = fit$lambda, coef = as.matrix(coef(fit)), dev_ratio = fit$dev.ratio)
  }))
}

glmnet.control(fdev = 0, mxitnr = 100)
result <- lapply(c(veteran = "veteran", gbsg2 = "gbsg2", whas500 = "whas500"), one)
result$versions <- list(R = R.version.string, glmnet = as.character(packageVersion("glmnet")))
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE, na = "null"), args[2])

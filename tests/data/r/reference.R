# Values from R that the tests compare with.
#   python tests/data/r/export.py FOLDER && Rscript tests/data/r/reference.R FOLDER tests/data/r/reference.json
suppressPackageStartupMessages({
  library(survival)
  library(glmnet)
  library(jsonlite)
})
args <- commandArgs(trailingOnly = TRUE)
folder <- args[1]
score_of <- c(veteran = "karnofsky_score", gbsg2 = "pnodes", whas500 = "age")
sign_of <- c(veteran = -1, gbsg2 = 1, whas500 = 1)
horizons <- list(veteran = c(0, 30, 99, 100, 365), gbsg2 = c(0, 500, 1000, 2000), whas500 = c(0, 1, 365, 1000))
tau <- c(veteran = 300, gbsg2 = 1800, whas500 = 1500)

one <- function(name) {
  d <- read.csv(file.path(folder, paste0(name, ".csv")))
  y <- Surv(d$time, d$event)
  x <- as.matrix(d[, setdiff(names(d), c("time", "event"))])
  score <- sign_of[[name]] * d[[score_of[[name]]]]

  cox <- coxph(y ~ x, ties = "breslow")
  hazard <- basehaz(coxph(y ~ score, ties = "breslow"), centered = FALSE)
  slope <- summary(coxph(y ~ score, ties = "breslow"))$coefficients

  km <- survfit(y ~ 1, conf.type = "log-log")
  median <- summary(km)$table[c("median", "0.95LCL", "0.95UCL")]
  table <- summary(km, times = horizons[[name]], extend = TRUE)

  group <- as.integer(cut(score, c(-Inf, quantile(score, c(.25, .5, .75), type = 7), Inf), right = FALSE))
  ranks <- survdiff(y ~ group)

  # population standard deviation, as glmnet's own standardisation
  z <- scale(x, scale = apply(x, 2, function(v) sqrt(mean((v - mean(v))^2))))
  # glmnet takes patients censored at an event time out of its risk set, coxph and we leave them in; half a day later
  # they are in for both, and nothing else changes (times are whole days)
  later <- Surv(d$time + .5 * (1 - d$event), d$event)
  paths <- lapply(c(1, .5, .001), function(l1) {
    largest <- max(glmnet(z, later, family = "cox", alpha = l1, standardize = FALSE, nlambda = 5)$lambda)
    lambda <- largest * exp(seq(0, log(if (l1 < .01) 1e-5 else 1e-2), length.out = 25))
    fit <- glmnet(z, later, family = "cox", alpha = l1, lambda = lambda, standardize = FALSE, thresh = 1e-16, maxit = 1e7)
    list(l1_ratio = l1, lambda = fit$lambda, coef = as.matrix(fit$beta), dev_ratio = fit$dev.ratio)
  })

  list(
    columns = colnames(x), n = nrow(d), events = sum(d$event), score = score,
    coxph = list(coef = unname(coef(cox)), loglik = cox$loglik, concordance = unname(cox$concordance["concordance"]),
                 lp = unname(predict(cox, type = "lp"))),
    slope = list(coef = slope[1, "coef"], se = slope[1, "se(coef)"]),
    basehaz = list(time = hazard$time, hazard = hazard$hazard),
    concordance = list(
      harrell = unname(concordance(y ~ score, reverse = TRUE)$concordance),
      uno = unname(concordance(y ~ score, reverse = TRUE, timewt = "n/G2")$concordance),
      tau = tau[[name]],
      uno_tau = unname(concordance(y ~ score, reverse = TRUE, timewt = "n/G2", ymax = tau[[name]])$concordance)
    ),
    km = list(time = km$time, n_risk = km$n.risk, n_event = km$n.event, n_censor = km$n.censor,
              surv = km$surv, lower = km$lower, upper = km$upper, median = unname(median)),
    at_risk = list(time = horizons[[name]], n_risk = table$n.risk),
    logrank = list(group = group, chisq = unname(ranks$chisq), df = length(ranks$n) - 1),
    glmnet = paths
  )
}

result <- lapply(c(veteran = "veteran", gbsg2 = "gbsg2", whas500 = "whas500"), one)
result$versions <- list(R = R.version.string, survival = as.character(packageVersion("survival")),
                        glmnet = as.character(packageVersion("glmnet")))
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE, na = "null"), args[2])

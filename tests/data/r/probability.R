# Values of R for calibration and decision curves.
#   python tests/data/r/export.py FOLDER && Rscript tests/data/r/probability.R FOLDER tests/data/r/probability.json
suppressPackageStartupMessages({
  library(survival)
  library(splines)
  library(jsonlite)
})
args <- commandArgs(trailingOnly = TRUE)
horizon_of <- c(veteran = 100, gbsg2 = 1200, whas500 = 700)
# a made-up predictor of one column, so that the test can make the same: risk = 1 - exp(-exp(z - 0.5))
column_of <- c(veteran = "karnofsky_score", gbsg2 = "progrec", whas500 = "age")
sign_of <- c(veteran = -1, gbsg2 = -1, whas500 = 1)

one <- function(name) {
  d <- read.csv(file.path(args[1], paste0(name, ".csv")))
  y <- Surv(d$time, d$event)
  t <- horizon_of[[name]]
  v <- sign_of[[name]] * d[[column_of[[name]]]]
  z <- (v - mean(v)) / sd(v)
  risk <- pmin(pmax(1 - exp(-exp(z - .5)), 1e-6), 1 - 1e-6)
  x <- log(-log(1 - risk))

  knots <- quantile(x, c(.05, .35, .65, .95), type = 7)
  fit <- coxph(y ~ ns(x, knots = knots[2:3], Boundary.knots = knots[c(1, 4)]), ties = "breslow",
               control = coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 50))
  base <- basehaz(fit, centered = TRUE)
  offset <- predict(fit, type = "lp")
  hazard <- base$hazard[findInterval(t, base$time)]
  observed <- 1 - exp(-hazard * exp(offset))
  gap <- abs(observed - risk)

  # status at t, weighted by the inverse of the chance to know it; events before censorings at one time (whole days)
  g <- survfit(Surv(d$time + .25 * (1 - d$event), 1 - d$event) ~ 1)
  at <- function(when) c(1, g$surv)[findInterval(when, g$time) + 1]
  dead <- d$event == 1 & d$time <= t
  alive <- d$time > t
  w <- ifelse(dead, 1 / at(d$time - .1), ifelse(alive, 1 / at(t + .3), 0))
  keep <- w > 0
  slope <- suppressWarnings(glm(dead[keep] ~ x[keep], family = binomial("cloglog"), weights = w[keep],
                                control = glm.control(epsilon = 1e-14, maxit = 100)))
  intercept <- suppressWarnings(glm(dead[keep] ~ offset(x[keep]), family = binomial("cloglog"), weights = w[keep],
                                    control = glm.control(epsilon = 1e-14, maxit = 100)))

  thresholds <- c(.05, .2, .4, .6)
  benefit <- sapply(thresholds, function(q) {
    above <- risk > q
    s <- summary(survfit(Surv(d$time[above], d$event[above]) ~ 1), times = t, extend = TRUE)$surv
    mean(above) * ((1 - s) - s * q / (1 - q))
  })
  list(horizon = t, column = column_of[[name]], sign = sign_of[[name]], observed_head = unname(observed[1:5]),
       ici = mean(gap), e50 = median(gap), e90 = unname(quantile(gap, .9, type = 7)),
       slope = unname(coef(slope)[2]), intercept = unname(coef(intercept)[1]),
       brier = mean(w * (dead * (1 - risk)^2 + alive * risk^2)),
       thresholds = thresholds, net_benefit = benefit)
}

result <- lapply(c(veteran = "veteran", gbsg2 = "gbsg2", whas500 = "whas500"), one)
result$versions <- list(R = R.version.string, survival = as.character(packageVersion("survival")))
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE, na = "null"), args[2])

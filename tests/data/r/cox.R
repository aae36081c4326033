# Values of R's coxph and cox.zph for unpenalised Cox regression.
#   python tests/data/r/export.py FOLDER && Rscript tests/data/r/cox.R FOLDER tests/data/r/cox.json
suppressPackageStartupMessages({
  library(survival)
  library(jsonlite)
})
args <- commandArgs(trailingOnly = TRUE)
stratum_of <- c(veteran = "celltype_smallcell", gbsg2 = "horth_yes", whas500 = "gender_1", flchain = "sex_m")

facts <- function(fit) {
  s <- summary(fit)
  base <- basehaz(fit, centered = FALSE)
  zph <- lapply(c(km = "km", rank = "rank", identity = "identity", log = "log"), function(g) {
    z <- cox.zph(fit, transform = g, terms = FALSE)$table
    list(chisq = unname(z[, "chisq"]), p = unname(z[, "p"]))
  })
  residuals <- residuals(fit, type = "schoenfeld")
  list(
    coef = unname(coef(fit)), se = unname(s$coefficients[, "se(coef)"]), z = unname(s$coefficients[, "z"]),
    p = unname(s$coefficients[, "Pr(>|z|)"]), loglik = fit$loglik,
    logtest = unname(s$logtest[["test"]]), sctest = unname(s$sctest[["test"]]), waldtest = fit$wald.test,
    concordance = unname(fit$concordance["concordance"]),
    hazard_end = unname(tapply(base$hazard, if (is.null(base$strata)) rep(1, nrow(base)) else base$strata, max)),
    schoenfeld_sum_of_squares = unname(colSums(as.matrix(residuals)^2)), zph = zph
  )
}

one <- function(name) {
  d <- read.csv(file.path(args[1], paste0(name, ".csv")))
  y <- Surv(d$time, d$event)
  x <- as.matrix(d[, setdiff(names(d), c("time", "event"))])
  s <- d[[stratum_of[[name]]]]
  rest <- x[, setdiff(colnames(x), stratum_of[[name]])]
  w <- 1 + (seq_len(nrow(d)) %% 3)
  small <- coxph(y ~ x[, 1:2], ties = "efron")
  large <- coxph(y ~ x[, 1:4], ties = "efron")
  strict <- coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 50)
  horizons <- unname(quantile(d$time[d$event == 1], c(.1, .3, .5, .7, .9), type = 1))
  km <- summary(survfit(y ~ 1, conf.type = "log-log"), times = horizons)
  list(
    columns = colnames(x), n = nrow(d), events = sum(d$event), stratum = stratum_of[[name]],
    efron = facts(coxph(y ~ x, ties = "efron", control = strict)),
    breslow = facts(coxph(y ~ x, ties = "breslow", control = strict)),
    stratified = facts(coxph(y ~ rest + strata(s), ties = "efron", control = strict)),
    weighted = {
      fit <- coxph(y ~ x, ties = "efron", weights = w, control = strict)
      list(coef = unname(coef(fit)), se = unname(sqrt(diag(vcov(fit)))), loglik = fit$loglik)
    },
    km = list(time = horizons, surv = km$surv, lower = km$lower, upper = km$upper, n_risk = km$n.risk),
    logrank = survdiff(y ~ s)$chisq,
    anova = {
      a <- anova(small, large)
      list(chisq = a$Chisq[2], df = a$Df[2], p = a[[ncol(a)]][2])
    }
  )
}

result <- lapply(c(veteran = "veteran", gbsg2 = "gbsg2", whas500 = "whas500", flchain = "flchain"), one)
result$versions <- list(R = R.version.string, survival = as.character(packageVersion("survival")))
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE, na = "null"), args[2])

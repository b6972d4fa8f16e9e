// The rules of vehicle identification numbers, as far as the page needs them (vin.py has them all).

// All that can be accepted: the twin of vin.is_number.
function isNumber(text) {
  return text.length === 17 && [...text].every(character => settings.characters.includes(character));
}

const NONE = "-", LEFT_OUT = "_";   // in place of a box's character: nobody has read it; it is none

// The number that characters, one a box, make.
function numberOf(reading) { return reading.replaceAll(LEFT_OUT, ""); }

function checkDigit(vin) {
  let sum = 0;
  for (let i = 0; i < 17; i++) sum += settings.values[vin[i]] * settings.weights[i];
  return "0123456789X"[sum % 11];
}

function checkDigitStatus(vin) {
  if (checkDigit(vin) === vin[8]) return "ok";
  return settings.required.includes(vin[0]) ? "wrong" : "not required";
}

function modelYear(vin) {
  const code = settings.years.indexOf(vin[9]);
  const known = settings.required.includes(vin[0]) || settings.yearMakers.includes(vin.slice(0, 3));
  if (!known || code < 0) return "";
  const last = new Date().getFullYear() + 1;
  const years = [1980 + code, 2010 + code].filter(year => year <= last);
  if (!settings.light.includes(vin.slice(0, 3))) return years.join(" or ");
  const since2010 = !/\d/.test(vin[6]);
  const fitting = years.filter(year => year >= 2010 === since2010);
  return (fitting.length ? fitting : years).join(" or ");
}

// The cells of vins.csv that follow from the number; none for what is no number.
function tells(vin) {
  if (!isNumber(vin)) return {};
  return {
    check_digit: checkDigitStatus(vin),
    region: settings.regions[vin[0]] || "",
    manufacturer: vin[2] === "9" ? "" :
      settings.makers[vin.slice(0, 3)] || settings.makers[vin.slice(0, 2)] || "",
    model_year: modelYear(vin),
  };
}

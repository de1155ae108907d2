//! The JSON of an auction file as it stands, numbers still text. Unknown and repeated fields are refused.

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A JSON string, borrowed from the file where it holds no escapes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A JSON number, or a string that holds one; what it says is not yet looked at.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub(super) struct Number<'a>(#[serde(borrow)] &'a RawValue);

impl<'a> Number<'a> {
    /// The number's own text, quotes removed.
    pub(super) fn text(self) -> &'a str {
        let text = self.0.get();
        text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text)
    }

    /// The list that stands here instead of a number, if one does.
    pub(super) fn list(self) -> Option<Vec<Self>> {
        serde_json::from_str(self.0.get()).ok()
    }
}

/// A JSON object used as a map, in the order of the file; a repeated key is refused.
#[derive(Debug)]
pub(super) struct Object<'a, V>(pub(super) Vec<(Text<'a>, V)>);

/// One number per period or the like.
pub(super) type NumberMap<'a> = Object<'a, Number<'a>>;
/// One list of numbers per area or line.
pub(super) type ListMap<'a> = Object<'a, Vec<Number<'a>>>;

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Object<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs(PhantomData)).map(Object)
    }
}

struct Pairs<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
    type Value = Vec<(Text<'de>, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry::<Text<'de>, V>()? {
            pairs.push(pair);
        }
        let mut keys: Vec<&str> = pairs.iter().map(|(key, _)| key.0.as_ref()).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|it| it[0] == it[1]) {
            Some(twice) => Err(de::Error::custom(format_args!("duplicate field `{}`", twice[0]))),
            None => Ok(pairs),
        }
    }
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an auction object")]
pub(super) struct RawAuction<'a> {
    #[serde(borrow)]
    pub(super) format: Text<'a>,
    pub(super) name: Text<'a>,
    pub(super) currency: Text<'a>,
    pub(super) price_tick: Number<'a>,
    pub(super) order_price_tick: Option<Number<'a>>,
    pub(super) price_min: Number<'a>,
    pub(super) price_max: Number<'a>,
    pub(super) quantity_tick: Number<'a>,
    pub(super) order_quantity_tick: Option<Number<'a>>,
    pub(super) period_minutes: Number<'a>,
    pub(super) periods: Number<'a>,
    pub(super) areas: Vec<Text<'a>>,
    #[serde(default)]
    pub(super) lines: Vec<RawLine<'a>>,
    #[serde(default)]
    pub(super) curves: Vec<RawCurve<'a>>,
    #[serde(default)]
    pub(super) blocks: Vec<RawBlock<'a>>,
    #[serde(default)]
    pub(super) complex: Vec<RawComplex<'a>>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a line object")]
pub(super) struct RawLine<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) from: Text<'a>,
    pub(super) to: Text<'a>,
    pub(super) capacity: Number<'a>,
    pub(super) capacity_back: Number<'a>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a curve object")]
pub(super) struct RawCurve<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(rename = "member")]
    pub(super) _member: Option<Text<'a>>,
    pub(super) area: Text<'a>,
    pub(super) period: Number<'a>,
    pub(super) shape: Option<Text<'a>>,
    pub(super) side: Option<Text<'a>>,
    pub(super) points: Vec<(Number<'a>, Number<'a>)>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a block object")]
pub(super) struct RawBlock<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) member: Option<Text<'a>>,
    pub(super) area: Text<'a>,
    pub(super) side: Text<'a>,
    pub(super) price: Number<'a>,
    pub(super) quantity: NumberMap<'a>,
    pub(super) min_ratio: Option<Number<'a>>,
    pub(super) parent: Option<Text<'a>>,
    pub(super) group: Option<Text<'a>>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a complex order object")]
pub(super) struct RawComplex<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(rename = "member")]
    pub(super) _member: Option<Text<'a>>,
    pub(super) area: Text<'a>,
    pub(super) side: Text<'a>,
    pub(super) fixed: Number<'a>,
    pub(super) curve: Vec<RawComplexPeriod<'a>>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with one period of a complex order")]
pub(super) struct RawComplexPeriod<'a> {
    #[serde(borrow)]
    pub(super) period: Number<'a>,
    pub(super) min_quantity: Option<Number<'a>>,
    pub(super) points: Vec<(Number<'a>, Number<'a>)>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a result object")]
pub(super) struct RawResult<'a> {
    #[serde(borrow)]
    pub(super) format: Text<'a>,
    pub(super) auction: Text<'a>,
    pub(super) prices: ListMap<'a>,
    pub(super) flows: Option<ListMap<'a>>,
    #[serde(default)]
    pub(super) curves: Vec<RawFill<'a>>,
    #[serde(default)]
    pub(super) blocks: Vec<RawBlockFill<'a>>,
    #[serde(default)]
    pub(super) complex: Vec<RawComplexFill<'a>>,
    #[serde(default)]
    pub(super) rejected: Vec<RawRejected<'a>>,
    pub(super) welfare: Number<'a>,
    pub(super) bound: Number<'a>,
    pub(super) status: Text<'a>,
    #[serde(rename = "stats")]
    pub(super) _stats: Option<de::IgnoredAny>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a curve's fill")]
pub(super) struct RawFill<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) bought: Option<Number<'a>>,
    pub(super) sold: Option<Number<'a>>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an accepted block object")]
pub(super) struct RawBlockFill<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) ratio: Number<'a>,
    pub(super) bought: Option<NumberMap<'a>>,
    pub(super) sold: Option<NumberMap<'a>>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an active complex order object")]
pub(super) struct RawComplexFill<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) bought: Option<NumberMap<'a>>,
    pub(super) sold: Option<NumberMap<'a>>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a rejected order object")]
pub(super) struct RawRejected<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    pub(super) reason: Text<'a>,
    pub(super) surplus: Number<'a>,
}

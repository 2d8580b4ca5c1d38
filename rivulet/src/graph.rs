//! The pipeline as a text graph, in the order of the data flow.
//!
//! ```text
//! [thermometer: file] → temperatures_celsius → [convert] → temperatures_fahrenheit →
//! [threshold] → temperatures_above_threshold ─┬→ [ewma] → temperatures_ewma → [out-ewma]
//!                                             └→ [average] → temperatures_moving_average
//! ```
//!
//! A stage is in brackets, with its steps, source or sink unless its name says it. A topic has no
//! brackets. Its settings are shown if it has several partitions, another format than `json`, or is
//! external. A stage or topic with several inputs gets its own line below, which names all inputs.
//! Every graph without cycles can be drawn this way. A split that does not fit beside its branch
//! moves below, too.

use std::collections::{BTreeMap, BTreeSet};

use rivulet_pipeline::{Pipeline, Stage, Topic};

/// No line is wider than this, unless a name is too long.
const WIDTH: usize = 100;

/// Draws the pipeline. Every line ends with a newline.
#[must_use]
pub fn draw(pipeline: &Pipeline) -> String {
    let nodes = nodes(pipeline);
    let depths = depths(&nodes);
    let roots = (0..nodes.len()).filter(|&node| nodes[node].inputs.is_empty());
    let below = roots.map(|node| (depths[node], node)).collect();
    let mut pen = Pen {
        nodes: &nodes,
        depths: &depths,
        lines: Vec::new(),
        below,
    };
    while let Some((_, root)) = pen.below.pop_first() {
        pen.tree(root);
    }
    let mut drawing = String::new();
    for line in &pen.lines {
        drawing.push_str(line.trim_end());
        drawing.push('\n');
    }
    drawing
}

/// A stage or a topic.
struct Node {
    /// Its text where other nodes refer to it.
    name: String,
    /// Its text where it is drawn.
    label: String,
    /// The indices of its inputs.
    inputs: Vec<usize>,
    /// The indices of its outputs.
    outputs: Vec<usize>,
}

impl Node {
    fn new(name: String, label: String) -> Self {
        Node {
            name,
            label,
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    fn is_join(&self) -> bool {
        self.inputs.len() > 1
    }
}

fn nodes(pipeline: &Pipeline) -> Vec<Node> {
    let mut nodes: Vec<Node> = pipeline
        .stages
        .iter()
        .map(|stage| Node::new(format!("[{}]", stage.name), stage_label(stage)))
        .collect();
    let mut topics: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, stage) in pipeline.stages.iter().enumerate() {
        for name in stage.from.iter().chain(&stage.to) {
            let topic = *topics.entry(name).or_insert_with(|| {
                nodes.push(Node::new(
                    name.clone(),
                    topic_label(name, pipeline.topic(name)),
                ));
                nodes.len() - 1
            });
            let (from, to) = if stage.from.contains(name) {
                (topic, index)
            } else {
                (index, topic)
            };
            nodes[from].outputs.push(to);
            nodes[to].inputs.push(from);
        }
    }
    nodes
}

fn stage_label(stage: &Stage) -> String {
    let does = stage.kind.components();
    if does == [stage.name.as_str()] {
        format!("[{}]", stage.name)
    } else {
        format!("[{}: {}]", stage.name, does.join(", "))
    }
}

fn topic_label(name: &str, topic: &Topic) -> String {
    let mut notes = Vec::new();
    // What most topics are need not be said.
    if topic.format.name() != "json" {
        notes.push(topic.format.name().to_owned());
    }
    if topic.partitions != 1 {
        notes.push(format!("{} partitions", topic.partitions));
    }
    if topic.external {
        notes.push("external".to_owned());
    }
    if notes.is_empty() {
        name.to_owned()
    } else {
        format!("{name} ({})", notes.join(", "))
    }
}

/// The length of the longest path to each node.
fn depths(nodes: &[Node]) -> Vec<usize> {
    fn depth(node: usize, nodes: &[Node], known: &mut [Option<usize>]) -> usize {
        if let Some(depth) = known[node] {
            return depth;
        }
        let longest = nodes[node]
            .inputs
            .iter()
            .map(|&input| depth(input, nodes, known) + 1)
            .max()
            .unwrap_or(0);
        known[node] = Some(longest);
        longest
    }
    let mut known = vec![None; nodes.len()];
    (0..nodes.len())
        .map(|node| depth(node, nodes, &mut known))
        .collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Writes trees of nodes line by line.
struct Pen<'g> {
    nodes: &'g [Node],
    depths: &'g [usize],
    lines: Vec<String>,
    /// The nodes that still need their own tree, in the order of the data flow.
    below: BTreeSet<(usize, usize)>,
}

impl Pen<'_> {
    fn column(&self) -> usize {
        self.lines.last().map_or(0, |line| width(line))
    }

    fn write(&mut self, text: &str) {
        if let Some(line) = self.lines.last_mut() {
            line.push_str(text);
        }
    }

    /// Starts a new line if `needed` columns do not fit into this one.
    fn wrap_unless_fits(&mut self, needed: usize, indent: &str) {
        if self.column() + needed > WIDTH && self.column() > width(indent) {
            self.lines.push(indent.to_owned());
        }
    }

    fn tree(&mut self, root: usize) {
        let nodes = self.nodes;
        self.lines.push(String::new());
        if nodes[root].is_join() {
            for (index, &input) in nodes[root].inputs.iter().enumerate() {
                let separator = if index + 1 == nodes[root].inputs.len() {
                    " → "
                } else {
                    " + "
                };
                self.wrap_unless_fits(width(&nodes[input].name) + 2, "");
                self.write(&nodes[input].name);
                self.write(separator);
            }
        }
        self.path(root, "");
    }

    /// Writes a node and everything after it. `indent` starts each further line.
    fn path(&mut self, mut at: usize, indent: &str) {
        let nodes = self.nodes;
        loop {
            let node = &nodes[at];
            let after = match node.outputs.as_slice() {
                [] => 0,
                [_] => width(" →"),
                several => {
                    width(" ─┬→ ")
                        + several
                            .iter()
                            .map(|&to| self.least_width(to))
                            .max()
                            .unwrap_or(0)
                }
            };
            let needed = width(&node.label) + after;
            self.wrap_unless_fits(needed, indent);
            if self.column() + needed > WIDTH && !indent.is_empty() && node.outputs.len() > 1 {
                return self.refer(at, indent);
            }
            self.write(&node.label);
            match node.outputs.as_slice() {
                [] => return,
                &[next] => {
                    self.write(" → ");
                    if nodes[next].is_join() {
                        return self.refer(next, indent);
                    }
                    at = next;
                }
                several => return self.branches(several, indent),
            }
        }
    }

    fn branches(&mut self, to: &[usize], indent: &str) {
        self.write(" ─");
        let margin = format!("{indent}{}", " ".repeat(self.column() - width(indent)));
        for (index, &next) in to.iter().enumerate() {
            let last = index + 1 == to.len();
            match (index, last) {
                (0, _) => self.write("┬→ "),
                (_, false) => self.lines.push(format!("{margin}├→ ")),
                (_, true) => self.lines.push(format!("{margin}└→ ")),
            }
            let indent = format!("{margin}{}", if last { "   " } else { "│  " });
            if self.nodes[next].is_join() {
                self.refer(next, &indent);
            } else {
                self.path(next, &indent);
            }
        }
    }

    /// Refers to a node that is drawn further down.
    fn refer(&mut self, node: usize, indent: &str) {
        self.below.insert((self.depths[node], node));
        self.wrap_unless_fits(self.referred_width(node), indent);
        self.write(&format!("{} (below)", self.nodes[node].name));
    }

    fn referred_width(&self, node: usize) -> usize {
        width(&self.nodes[node].name) + width(" (below)")
    }

    /// The columns that the node itself needs, or the reference to it.
    fn least_width(&self, node: usize) -> usize {
        let itself = &self.nodes[node];
        match itself.outputs.len() {
            _ if itself.is_join() => self.referred_width(node),
            0 => width(&itself.label),
            1 => width(&itself.label) + width(" →"),
            _ => self.referred_width(node),
        }
    }
}

#[cfg(test)]
mod tests;

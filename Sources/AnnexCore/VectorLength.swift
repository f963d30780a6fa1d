/// Says which vectors float32 searches can compute with.
package enum VectorLength {
    /// Returns the fault of a vector of this length; nil where there is none. NaN and infinity are wrong too.
    ///
    /// - Parameter length: Euclidean, computed in float64.
    package static func problem(_ length: Double, metric: Metric) -> String? {
        if length == 0 {
            return metric == .cosine ? "all components are 0, and metric cosine compares directions" : nil
        }
        guard !Limits.vectorLengths.contains(length) else { return nil }
        let (least, most) = (Limits.vectorLengths.lowerBound, Limits.vectorLengths.upperBound)
        return "the length is \(Printable.scientific(length)); float32 searches compute with lengths of 0 and of "
            + "\(Printable.scientific(least)) to \(Printable.scientific(most))"
    }
}

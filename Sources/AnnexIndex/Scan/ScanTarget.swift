import AnnexCore

/// Where a builder writes: each block and cluster has places of its own, so threads may fill different ones at once.
///
/// Unchecked for that reason.
@unsafe struct ScanTarget: @unchecked Sendable {
    let memory: UnsafeMutableRawPointer
    let places: ScanShape.Places
    let shape: ScanShape

    func pointer<T>(_ place: Int, _ type: T.Type) -> UnsafeMutablePointer<T> {
        unsafe (self.memory + place).assumingMemoryBound(to: type)
    }

    func writeHeader(starts: [Int], center: [Float]) {
        let header = unsafe ScanHeader.encode(self.shape)
        for (place, byte) in header.enumerated() { unsafe self.pointer(place, UInt8.self).pointee = byte }
        let first = unsafe self.pointer(self.places.firstBlocks, UInt32.self)
        for (cluster, start) in starts.enumerated() { unsafe first[cluster] = UInt32(start) }
        unsafe first[starts.count] = UInt32(self.shape.blocks)
        let target = unsafe self.pointer(self.places.center, Float.self)
        for (place, value) in center.enumerated() { unsafe target[place] = value }
        // Places behind the last centroid: codes of zero.
        let bytes = unsafe self.pointer(self.places.centroidCodes, UInt8.self)
        for place in 0..<(unsafe self.shape.centroidBlocks * self.shape.blockCodeBytes) { unsafe bytes[place] = 128 }
    }

    func setBounds(_ block: Int, along: Float, across: Float, leastAlong: Float) {
        unsafe self.pointer(self.places.along, Float.self)[block] = along
        unsafe self.pointer(self.places.across, Float.self)[block] = across
        unsafe self.pointer(self.places.leastAlong, Float.self)[block] = leastAlong
    }

    /// On `ip` no item of a block or behind it scores more than the query's length times the largest of theirs. Elsewhere
    /// nothing is known of what stands behind, so nothing stops the scan.
    func boundHead() {
        let norms = unsafe self.pointer(self.places.norms, Float.self)
        let errors = unsafe self.pointer(self.places.errors, Float.self)
        var largest: Float = 0
        for block in unsafe (0..<self.shape.headBlocks).reversed() {
            largest = unsafe max(largest, errors[block].isFinite ? norms[block] : .infinity)
            unsafe self.setBounds(
                block,
                along: self.shape.metric == .ip ? largest : .infinity,
                across: 0,
                leastAlong: 0
            )
        }
    }

    func setLargest(_ block: Int, norm: Float, error: Float) {
        unsafe self.pointer(self.places.norms, Float.self)[block] = norm
        unsafe self.pointer(self.places.errors, Float.self)[block] = error
    }

    func setPadding(_ block: Int, _ place: Int) {
        unsafe self.pointer(self.places.ordinals, Int32.self)[block * ScanShape.blockItems + place] = -1
        unsafe self.setItemCodes(block, place, [])
    }

    func set(_ block: Int, _ place: Int, ordinal: Int32, _ code: RowCode, _ codes: [Int8]) {
        let item = block * ScanShape.blockItems + place
        unsafe self.pointer(self.places.ordinals, Int32.self)[item] = ordinal
        unsafe self.pointer(self.places.scales, Float.self)[item] = code.scale
        if unsafe self.shape.hasBiases {
            unsafe self.pointer(self.places.biases, Float.self)[item] = -code.norm * code.norm / 2
        }
        unsafe self.setItemCodes(block, place, codes)
    }

    /// In the order of places, each link the place of an item.
    func setLinks(_ table: LinkTable) {
        let starts = unsafe self.pointer(self.places.linkStarts, UInt32.self)
        for (place, start) in table.starts.enumerated() { unsafe starts[place] = start }
        let links = unsafe self.pointer(self.places.links, Int32.self)
        for (place, link) in table.links.enumerated() { unsafe links[place] = link }
    }

    func setDirection(_ cluster: Int, _ direction: [Float], center: [Float]) {
        let target = unsafe self.pointer(self.places.centroids, Float.self) + cluster * self.shape.groups * 4
        for (place, value) in direction.enumerated() { unsafe target[place] = value }
        var codes = [Int8](repeating: 0, count: direction.count)
        let code = RowCode(center.isEmpty ? direction : zip(direction, center).map { $0 - $1 }, &codes)
        unsafe self.pointer(self.places.centroidScales, Float.self)[cluster] = code.scale
        let (block, place) = cluster.quotientAndRemainder(dividingBy: ScanShape.blockItems)
        unsafe self.setCodes(self.places.centroidCodes, block, place, codes)
    }

    private func setItemCodes(_ block: Int, _ place: Int, _ codes: [Int8]) {
        let stride = unsafe self.shape.stride
        guard stride > 0 else { return unsafe self.setCodes(self.places.codes, block, place, codes) }
        let item = block * ScanShape.blockItems + place
        let target = unsafe self.pointer(self.places.codes + item * stride, UInt8.self)
        for component in 0..<stride {
            unsafe target[component] = UInt8((component < codes.count ? Int(codes[component]) : 0) + 128)
        }
        if unsafe block < self.shape.seedBlocks { unsafe self.setCodes(self.places.seedCodes, block, place, codes) }
    }

    /// Component c of group g of an item stands at (g * 32 + item) * 4 + c of its block.
    private func setCodes(_ part: Int, _ block: Int, _ place: Int, _ codes: [Int8]) {
        let target = unsafe self.pointer(part + block * self.shape.blockCodeBytes, UInt8.self)
        for component in 0..<(unsafe self.shape.groups * 4) {
            let code = component < codes.count ? Int(codes[component]) : 0
            let at = (component / 4 * ScanShape.blockItems + place) * 4 + component % 4
            unsafe target[at] = UInt8(code + 128)
        }
    }
}

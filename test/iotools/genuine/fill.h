// Moves arrays of one event into the classes.
#include <cstring>
#include "TTree.h"

namespace fill {

void identity(larcv::EventBase& event, const char* producer, long run, long subrun, long number) {
  event._producer = producer;
  event._run = run;
  event._subrun = subrun;
  event._event = number;
}

void meta(larcv::Voxel3DMeta& meta, const std::vector<double>& low, const std::vector<double>& size,
          const std::vector<long>& count) {
  meta._valid = true;
  meta._num_element = count[0] * count[1] * count[2];
  meta._xlen = size[0]; meta._ylen = size[1]; meta._zlen = size[2];
  meta._xnum = count[0]; meta._ynum = count[1]; meta._znum = count[2];
#ifdef LARCV2_OLD
  meta._xmin = low[0]; meta._ymin = low[1]; meta._zmin = low[2];
  meta._xmax = low[0] + size[0] * count[0];
  meta._ymax = low[1] + size[1] * count[1];
  meta._zmax = low[2] + size[2] * count[2];
#else
  meta._p1 = {low[0], low[1], low[2]};
  meta._p2 = {low[0] + size[0] * count[0], low[1] + size[1] * count[1], low[2] + size[2] * count[2]};
  meta._unit = 0;
#endif
}

void voxels(larcv::VoxelSet& set, const std::vector<unsigned long long>& ids, const std::vector<float>& values) {
  set._voxel_v.resize(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    set._voxel_v[i]._id = ids[i];
    set._voxel_v[i]._value = values[i];
  }
}

void vertex(larcv::Vertex& vertex, const std::vector<double>& point) {
  vertex._x = point[0]; vertex._y = point[1]; vertex._z = point[2]; vertex._t = point[3];
}

void branch(TTree& tree, const char* name, larcv::EventSparseTensor3D& event) { tree.Branch(name, &event); }
void branch(TTree& tree, const char* name, larcv::EventClusterVoxel3D& event) { tree.Branch(name, &event); }
void branch(TTree& tree, const char* name, larcv::EventParticle& event) { tree.Branch(name, &event); }

}  // namespace fill
